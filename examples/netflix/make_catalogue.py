#!/usr/bin/env python3
"""Makes a small catalogue of films and shows with the columns and quirks of the real one.

    make_catalogue.py FOLDER [--titles 600] [--credits 6000] [--seed 1]

Writes FOLDER/titles.csv and FOLDER/credits.csv. The same arguments give the same bytes: only
`random()` is used, whose sequence Python guarantees. All names are made up.
"""

import argparse
import csv
import io
import os
import random

TITLE_COLUMNS = [
    "id", "title", "type", "description", "release_year", "age_certification", "runtime", "genres",
    "production_countries", "seasons", "imdb_id", "imdb_score", "imdb_votes", "tmdb_popularity",
    "tmdb_score",
]
CREDIT_COLUMNS = ["person_id", "id", "name", "character", "role"]

# What there is, and how often.
COUNTRIES = [
    ("US", 38), ("KR", 15), ("IN", 10), ("GB", 7), ("JP", 6), ("FR", 5), ("CA", 4), ("ES", 4),
    ("DE", 3), ("BR", 3), ("MX", 3), ("CN", 2), ("PH", 2), ("AU", 2), ("TR", 2), ("IT", 2), ("NG", 2),
    ("AR", 1), ("PL", 1), ("ZA", 1), ("SE", 1),
]
GENRES = [
    ("drama", 30), ("comedy", 24), ("thriller", 13), ("action", 12), ("romance", 10),
    ("documentation", 10), ("crime", 9), ("animation", 7), ("family", 7), ("fantasy", 6),
    ("scifi", 6), ("european", 4), ("horror", 4), ("music", 3), ("history", 3), ("reality", 3),
    ("sport", 2), ("war", 2), ("western", 1), ("children's", 1),
]
YEARS = [
    (2019, 140), (2020, 136), (2021, 131), (2018, 128), (2017, 94), (2022, 62), (2016, 60),
    (2015, 37), (2014, 25), (2013, 22), (2012, 18), (2011, 14), (2008, 8), (2004, 7), (1999, 5),
    (1995, 4), (1988, 3), (1982, 2), (1976, 2), (1969, 1), (1954, 1),
]
AGES = [
    ("", 45), ("TV-MA", 15), ("R", 10), ("TV-14", 8), ("PG-13", 8), ("PG", 4), ("TV-PG", 3), ("G", 2),
    ("TV-Y7", 2), ("TV-Y", 2), ("TV-G", 1),
]
SEASONS = [(1, 58), (2, 18), (3, 9), (4, 6), (5, 4), (6, 2), (7, 1), (9, 1), (14, 1)]

ADJECTIVES = """Amber Broken Crimson Distant Electric Fading Gentle Hollow Idle Jade Last Little Midnight
Northern Paper Quiet Restless Second Silver Slow Unwritten Velvet Wandering Winter""".split()
NOUNS = """Archive Bridge Compass Daughters Engine Ferry Garden Harbour Island Jury Kitchen Lantern
Mountain Neighbours Orchard Parade Quarry Railway Season Tide Umbrella Valley Witness Yard""".split()
PEOPLE = "a ferry captain,a rival baker,a retired judge,a choirmaster,an amateur astronomer," \
    "a tired detective,the youngest of three sisters,a village doctor,a street musician,the last lighthouse keeper".split(",")
DEEDS = "inherits a house that nobody remembers,finds a letter that was never sent,must choose between duty " \
    "and a promise,follows a rumour across the country,discovers what the neighbours are hiding,agrees to one " \
    "last favour,learns that the past keeps its own accounts,opens a restaurant against all advice".split(",")
ENDINGS = [
    "Nobody calls it courage.", "The town calls it \"a small matter\".", "It's not over by morning.",
    "What follows is neither quiet nor cheap.", "A story about leaving, never to return \u2013 or almost.",
    "Caf\u00e9s close, secrets don't.",
]
FIRST = """Ada Bel Cor Dan El Fen Gus Han Ile Jor Kes Lio Mar Nov Ori Pim Quin Ros Sol Tam Ute Vik Wen Yul
Zoe""".split()
SECOND = ["a", "an", "el", "in", "o", "ette", "ia", "us", "ik", "\u00e9"]
FAMILY = """Abersk Brannoch Calderay D'Ombre Ekholm Farrowin Gr\u00fcnwalder Hwangbo Ilmarin Jansdotter
Korrigan Lindqvold Marchetto N\u00fa\u00f1oz O'Tarrin Pellworth Qadirov Rosmarin Strandvik Tamboril
Underlyn Vasquelle Wintersol Yamabuki Zielonka""".split()
ROLES = ["the Captain", "Mrs. Abersk", "Older Brother", "Dr. Tamboril", "the Baker", "Neighbour", "Narrator",
         "Young Ilmarin", "the Stranger", "Judge", "Self"]


class Dice:
    """Choices from `random()` alone."""

    def __init__(self, seed):
        self.random = random.Random(seed).random

    def below(self, bound):
        return int(self.random() * bound)

    def one(self, items):
        return items[self.below(len(items))]

    def chance(self, percent):
        return self.random() * 100 < percent

    def weighted(self, items):
        left = self.random() * sum(weight for _, weight in items)
        for item, weight in items:
            left -= weight
            if left < 0:
                return item
        return items[-1][0]


def quoted(text):
    """A string as Python prints it: with an apostrophe inside, in double quotes."""
    return repr(text)


def listed(items, edition):
    """A list column: as a set in one edition of the data, as a list in another."""
    if not items:
        return "{}" if edition == 0 else "[]"
    inside = ", ".join(quoted(item) for item in items)
    return "{%s}" % inside if edition == 0 else "[%s]" % inside


def several(dice, weights, most):
    items = []
    for _ in range(1 + dice.below(most)):
        item = dice.weighted(weights)
        if item not in items:
            items.append(item)
    return items


def name(dice):
    return f"{dice.one(FIRST)}{dice.one(SECOND)} {dice.one(FAMILY)}"


def description(dice, n):
    lines = [f"{dice.one(PEOPLE).capitalize()} {dice.one(DEEDS)}. {dice.one(ENDINGS)}"]
    if n % 40 == 3:
        lines += ["", f"Part two: {dice.one(PEOPLE)} {dice.one(DEEDS)}."]
    elif n % 90 == 17:
        lines += [f"\"{dice.one(ENDINGS)}\"", "(from the first chapter)"]
    return "\n".join(lines)


def title_row(dice, n):
    # Every third row is written as in the editions made with pandas.
    edition = 1 if n % 3 == 2 else 0
    show = dice.chance(38)
    year = dice.weighted(YEARS)
    countries = [] if dice.chance(4) else several(dice, COUNTRIES, 2 if dice.chance(15) else 1)
    if n % 10 == 0:
        countries, year = ["KR"], 2017 + dice.below(6)
    scored = not dice.chance(8)
    voted = scored and not dice.chance(1)
    seasons = dice.weighted(SEASONS) if show else None
    word = dice.one(NOUNS)
    titles = [
        f"The {dice.one(ADJECTIVES)} {word}", f"{dice.one(ADJECTIVES)} {word}",
        f"{dice.one(FAMILY)}'s {word}", f"{word}, {dice.one(NOUNS)} & Co.", f"{word}: \"{dice.one(ADJECTIVES)}\"",
    ]
    return {
        "id": f"{'ts' if show else 'tm'}{700001 + n * 37}",
        "title": dice.one(titles),
        "type": "SHOW" if show else "MOVIE",
        "description": "" if n % 150 == 60 else description(dice, n),
        "release_year": year,
        "age_certification": dice.weighted(AGES),
        "runtime": 20 + dice.below(45) if show else 75 + dice.below(80),
        "genres": listed([] if dice.chance(1) else several(dice, GENRES, 4), edition),
        "production_countries": listed(countries, edition),
        "seasons": "" if seasons is None else f"{seasons}.0" if edition else seasons,
        "imdb_id": "" if dice.chance(7) else f"tt9{100000 + n * 53}",
        "imdb_score": f"{4 + dice.below(30) / 10 + dice.below(25) / 10:.1f}" if scored else "",
        "imdb_votes": f"{5 + int(200000 * dice.random() ** 6)}{'.0' if edition else ''}" if voted else "",
        "tmdb_popularity": "" if dice.chance(2) else f"{dice.random() ** 4 * 400:.3f}",
        "tmdb_score": "" if dice.chance(5) else f"{5 + dice.below(45) / 10:.1f}".removesuffix(".0"),
    }


def untitled(row):
    """The one row that is nearly empty."""
    keep = {"id", "type", "release_year", "runtime", "imdb_id"}
    lists = {"genres", "production_countries"}
    return {c: v if c in keep else "{}" if c in lists else "" for c, v in row.items()}


def credit_rows(dice, titles, count):
    people = [(3000 + n * 7, name(dice)) for n in range(max(count * 7 // 10, 1))]
    for n in range(count):
        title = titles[n * len(titles) // count]
        person, who = dice.one(people)
        director = dice.chance(6)
        character = dice.one(ROLES)
        if dice.chance(3):
            character = f"{dice.one(FIRST)} \"the {dice.one(NOUNS)}\" {dice.one(FAMILY)}"
        elif dice.chance(5):
            character = f"{character} / {dice.one(FIRST)} (voice, uncredited)"
        yield {
            "person_id": person,
            "id": title["id"],
            "name": who,
            "character": "" if director or dice.chance(7) else character,
            "role": "DIRECTOR" if director else "ACTOR",
        }


def write(path, columns, rows):
    """Puts the file in place whole; leaves one with the same bytes alone."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(rows)
    content = text.getvalue().encode()
    if os.path.exists(path):
        with open(path, "rb") as file:
            if file.read() == content:
                return
    with open(path + ".part", "wb") as file:
        file.write(content)
    os.replace(path + ".part", path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--titles", type=int, default=600)
    parser.add_argument("--credits", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    dice = Dice(arguments.seed)
    titles = [title_row(dice, n) for n in range(arguments.titles)]
    if titles:
        last = len(titles) * 4 // 5
        titles[last] = untitled(titles[last])
    os.makedirs(arguments.folder, exist_ok=True)
    write(os.path.join(arguments.folder, "titles.csv"), TITLE_COLUMNS, titles)
    credit_list = list(credit_rows(dice, titles, arguments.credits)) if titles else []
    write(os.path.join(arguments.folder, "credits.csv"), CREDIT_COLUMNS, credit_list)


if __name__ == "__main__":
    main()
