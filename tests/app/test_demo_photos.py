"""The sample photographs that installed packages carry."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from app.demo.photos import SAMPLE_PHOTOS, SamplePhoto


@pytest.mark.parametrize("sample", SAMPLE_PHOTOS, ids=lambda sample: sample.path)
def test_each_sample_is_a_picture_with_a_title_a_licence_and_a_credit(sample: SamplePhoto) -> None:
    """Whoever sees the photograph is told what it is, how it may be used and who made it."""
    path = sample.locate()
    assert path is not None
    with Image.open(path) as picture:
        picture.load()
    assert sample.title
    assert sample.licence
    assert sample.credit


def test_file_names_of_samples_are_unique() -> None:
    """Titles find their photograph by its file name."""
    names = [Path(sample.path).name for sample in SAMPLE_PHOTOS]
    assert len(names) == len(set(names))


def test_a_package_that_is_missing_is_no_error() -> None:
    """The demonstration goes on with the packages that are there."""
    absent = SamplePhoto("no-such-package-of-photos", "photo.jpg", "A photo", "CC0", "nobody")
    assert absent.locate() is None


def test_a_file_that_left_its_package_is_no_error() -> None:
    """A later release of a package may drop a photograph."""
    assert SamplePhoto("scikit-image", "skimage/data/gone.jpg", "?", "?", "?").locate() is None


def test_finding_the_samples_imports_none_of_their_packages() -> None:
    """OpenCV and SciPy stay out of the process."""
    script = (
        "import sys\n"
        "from app.demo.photos import SAMPLE_PHOTOS\n"
        "assert all(sample.locate() for sample in SAMPLE_PHOTOS)\n"
        "assert not {'caer', 'cv2', 'skimage', 'sklearn', 'scipy', 'torch'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
