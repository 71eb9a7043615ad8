#!/usr/bin/env python3
"""The numbers of the Netflix dashboard's seven charts, computed from titles.csv alone.

Usage: expected.py TITLES.CSV > expected.json
Knows nothing of wstream: Python's csv reader, literal lists, counters.
Prints for each panel the table a reader of the page must find: heading and rows.
"""

import ast
import collections
import csv
import json
import sys


def listed(cell):
    """`{'a', 'b'}`, `['a', 'b']` or an empty `{}`/`[]`, which Python reads as a dict or a list."""
    return sorted(ast.literal_eval(cell)) if cell.strip() else []


def by_year_and_type(rows):
    counts = collections.defaultdict(collections.Counter)
    for row in rows:
        counts[int(row["release_year"])][row["type"]] += 1
    kinds = sorted({kind for counter in counts.values() for kind in counter})
    names = {"MOVIE": "Movies", "SHOW": "Shows"}
    head = ["Release year"] + [names.get(kind, kind) for kind in kinds]
    return head, [[year] + [counts[year].get(kind) for kind in kinds] for year in sorted(counts)]


def top(rows, column, size):
    counts = collections.Counter(value for row in rows for value in set(listed(row[column])))
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [[key, count] for key, count in ranked[:size]]


def mean_score(rows):
    scores = collections.defaultdict(list)
    for row in rows:
        if row["imdb_score"]:
            scores[int(row["release_year"])].append(float(row["imdb_score"]))
    return [[year, sum(values) / len(values)] for year, values in sorted(scores.items())]


def main():
    with open(sys.argv[1], encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    seasons = collections.Counter(int(float(row["seasons"])) for row in rows if row["seasons"])

    def recent(country):
        return [
            row
            for row in rows
            if country in listed(row["production_countries"]) and 2017 <= int(row["release_year"]) <= 2022
        ]

    years, years_rows = by_year_and_type(rows)
    korea, korea_rows = by_year_and_type(recent("KR"))
    usa, usa_rows = by_year_and_type(recent("US"))
    panels = {
        "Titles by release year and type": (years, years_rows),
        "Top three genres": (["Genre", "Titles"], top(rows, "genres", 3)),
        "Content by country": (["Country", "Titles"], top(rows, "production_countries", 15)),
        "South Korea, 2017 to 2022": (korea, korea_rows),
        "United States, 2017 to 2022": (usa, usa_rows),
        "Mean IMDb score by release year": (["Release year", "Mean score"], mean_score(rows)),
        "Number of seasons": (["Seasons", "Shows"], [[n, count] for n, count in sorted(seasons.items())]),
    }
    shows = sum(1 for row in rows if row["type"] == "SHOW")
    facts = {"total": len(rows), "shows": shows}
    facts["panels"] = {title: {"head": head, "rows": body} for title, (head, body) in panels.items()}
    json.dump(facts, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
