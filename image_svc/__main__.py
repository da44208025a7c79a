"""`python -m image_svc`: run the image service."""

from image_svc.bootstrap import bootstrap
from image_svc.config import ImageSettings
from svckit import server

if __name__ == "__main__":
    settings = ImageSettings.read()
    server.run("image_svc", settings.image_address, settings, bootstrap(settings))
