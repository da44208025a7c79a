"""python -m netblock_svc"""

from netblock_svc.bootstrap import wire
from netblock_svc.config import NetblockSettings
from svckit.server import run

if __name__ == "__main__":
    settings = NetblockSettings.read()
    run("netblock_svc", settings.netblock_address, settings, wire(settings))
