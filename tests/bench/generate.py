"""Seeded input of our own: http-log documents and the 305-byte records of the JSON job."""

import random
from pathlib import Path

METHODS = ["GET", "GET", "GET", "GET", "POST", "HEAD"]
WORDS = ["news", "images", "english", "french", "teams", "venues", "history", "tickets", "play", "help"]
STATUS = [200] * 90 + [304] * 6 + [404] * 3 + [500]


def http_log(path: Path, count: int, seed: int = 1) -> Path:
    """About 130 bytes a line: time, client, request, status, size."""
    rng = random.Random(seed)
    start = 1_760_000_000
    with open(path, "w") as out:
        for i in range(count):
            at = start + i // 20
            day, second = divmod(at, 86_400)
            clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
            date = civil(day)
            ip = f"{rng.randrange(1, 224)}.{rng.randrange(256)}.{rng.randrange(256)}.0"
            page = f"/{rng.choice(WORDS)}/{rng.choice(WORDS)}/{int(rng.paretovariate(0.7)) % 5000}.html"
            out.write(
                f'{{"@timestamp":"{date}T{clock}Z","clientip":"{ip}","request":"{rng.choice(METHODS)} {page}",'
                f'"status":{rng.choice(STATUS)},"size":{int(rng.expovariate(1 / 8000))}}}\n'
            )
    return path


def civil(day: int) -> str:
    """The date of a day since 1970."""
    import datetime

    return (datetime.date(1970, 1, 1) + datetime.timedelta(days=day)).isoformat()


LEVELS = ["info", "info", "info", "info", "warn", "error", "debug", "debug"]


def json_job(path: Path, count: int, seed: int = 2) -> Path:
    """Lines of 305 bytes on average: a log event with a nested user, tags and a message."""
    rng = random.Random(seed)
    with open(path, "w") as out:
        for i in range(count):
            text = " ".join(rng.choice(WORDS) for _ in range(rng.randrange(12, 17)))
            out.write(
                f'{{"ts":{1_760_000_000_000 + i},"level":"{rng.choice(LEVELS)}",'
                f'"host":"web-{rng.randrange(40):02}.example.net","service":"{rng.choice(WORDS)}-api",'
                f'"latency_ms":{rng.expovariate(1 / 20):.3f},"status":{rng.choice(STATUS)},'
                f'"user":{{"id":{rng.randrange(1_000_000)},"plan":"pro","country":"NL"}},'
                f'"tags":["eu-west-1","blue","canary"],"msg":"{text}"}}\n'
            )
    return path
