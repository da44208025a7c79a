"""The matrix and the code know the same points."""

from __future__ import annotations

from tests.chaos import points
from tests.chaos.points import Verb

# Points that no verb of the matrix passes, and where else they are tried.
ELSEWHERE = {
    "test_cancel.py": {"api.cancel.after_commit", *(point for point in points.known() if point.endswith(".undo"))},
    "test_images.py": {
        "image.import_image.fetch",
        "image.import_image.inspect",
        "image.import_image.before_publish",
        "image.import_image.before_commit",
        "image.ensure_disks.base.inside",
        "image.ensure_disks.base.before_publish",
        "image.delete_image.before_file",
    },
    "test_volumes.py": {
        "api.attachment.before_commit",
        *(point for point in points.known() if point.startswith("netblock.volume.")),
    },
}
# Places that only exist together with another: the step is begun by two verbs, and acts in one of them.
NEVER_PASSED = {
    "compute.start.destroy.inside": "a start meets no running guest",
    "compute.reboot.instance_dir.inside": "what reboots has a folder",
    "image.ensure_disks.grow.before": "nothing can change a flavor yet",
}


def test_every_point_of_the_matrix_is_in_the_code() -> None:
    assert {point for verb in Verb for point in points.passed(verb)} <= points.known()


def test_every_point_in_the_code_is_tried_somewhere() -> None:
    matrix = {point for verb in Verb for point in points.passed(verb)}
    tried = matrix.union(*ELSEWHERE.values()) | set(NEVER_PASSED)
    assert points.known() <= tried, points.known() - tried


def test_what_is_said_to_be_elsewhere_exists() -> None:
    assert set().union(*ELSEWHERE.values()) <= points.known()
