"""Real photographs carried by Python packages, each with its licence and who to thank.

The packages are found by their metadata and only their picture files are read: importing
scikit-image or OpenCV for the sake of thirty photographs would cost seconds and memory.
"""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SamplePhoto:
    """One photograph inside an installed package."""

    package: str
    """Name of the distribution, as pip knows it."""
    path: str
    """Place of the file, relative to where the distribution is installed."""
    title: str
    licence: str
    credit: str

    def locate(self) -> Path | None:
        """Where the file lies on this machine; None when its package is not installed."""
        try:
            file = Path(str(distribution(self.package).locate_file(self.path)))
        except PackageNotFoundError:
            return None
        return file if file.is_file() else None


# Drawings, masks and test patterns of the same packages are left out: they are no photographs.
# Licences of scikit-image's are those its data module states file by file, scikit-learn's
# those of the README beside the files; "(package)" marks a file of which nothing is said but
# the licence of all that its package carries.
_BSD = "BSD-3-Clause (package)"
_CC0 = "CC0"
_CC_BY = "CC BY 2.0"
_FREE = "no known restrictions"
_PUBLIC = "public domain"

SAMPLE_PHOTOS = (
    *(
        SamplePhoto("caer", f"caer/data/{file}.jpg", title, "MIT (package)", "the Caer authors")
        for file, title in (
            ("black_cat", "A black cat in the dark"),
            ("camera", "A camera on a wooden table"),
            ("fighter_fish", "A Siamese fighting fish"),
            ("gold_fish", "A goldfish"),
            ("guitar", "An electric guitar"),
            ("puppy", "A golden retriever puppy"),
            ("snow", "Mountains under snow"),
            ("sunrise", "Sunrise over a meadow"),
            ("tent", "A lit tent at night"),
        )
    ),
    *(
        SamplePhoto("scikit-image", f"skimage/data/{file}", title, licence, credit)
        for file, title, licence, credit in (
            ("astronaut.png", "Eileen Collins in her space suit", _PUBLIC, "NASA"),
            ("brick.png", "A brick pavement", _CC0, "CC0 Textures"),
            ("camera.png", "A man with a camera on a tripod", _CC0, "Lav Varshney"),
            ("cell.png", "A cell floating in saline", _CC0, "Paul Müller and others"),
            ("chelsea.png", "Chelsea the cat", _CC0, "Stefan van der Walt"),
            ("coffee.png", "A cup of coffee", _CC0, "Rachel Michetti"),
            ("coins.png", "Greek coins from Pompeii", _FREE, "Brooklyn Museum"),
            ("grass.png", "Grass seen from above", _CC0, "CC0 Textures"),
            ("gravel.png", "Gravel seen from above", _CC0, "CC0 Textures"),
            ("hubble_deep_field.jpg", "Galaxies in the Hubble Deep Field", _PUBLIC, "NASA"),
            ("ihc.png", "Stained tissue under a microscope", _FREE, "CMMI"),
            ("moon.png", "The surface of the moon", _BSD, "the scikit-image authors"),
            ("motorcycle_left.png", "A red motorcycle in a garage", _BSD, "Middlebury College"),
            ("page.png", "A page of printed text", _BSD, "the scikit-image authors"),
            ("retina.jpg", "The retina of an eye", _CC0, "Mikael Häggström"),
            ("rocket.jpg", "A rocket on its launch pad", _PUBLIC, "SpaceX"),
            ("text.png", "Handwriting on paper", _PUBLIC, "Wikipedia"),
        )
    ),
    SamplePhoto(
        "scikit-learn",
        "sklearn/datasets/images/china.jpg",
        "A pagoda above a lake",
        _CC_BY,
        "danielbuechele on Flickr",
    ),
    SamplePhoto(
        "scikit-learn",
        "sklearn/datasets/images/flower.jpg",
        "An orange dahlia",
        _CC_BY,
        "vultilion on Flickr",
    ),
)
