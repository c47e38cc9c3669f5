# SPDX-License-Identifier: GPL-2.0-or-later
"""What loggers, consoles, mails and archives make of a kernel's messages: random, by seed."""

import html
import json
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

_STAMPS = (
    "[{s:5d}.{u:06d}] ",
    "[<{s:5d}.{u:06d}>] ",
    "[ +{s:3d}.{u:06d}] ",
    "[{s:5d}.{u:06d}][    T{c}] ",
    "<{c}>[{s:5d}.{u:06d}] ",
    "[{day} {month} {d:2d} {h:02d}:{m:02d}:{x:02d} 2026] ",
    "{month} {d:2d} {h:02d}:{m:02d}:{x:02d} ",
    "{day} {d}. {month} {h}:{m:02d}:{x:02d} ",
    "2026-11-{d:02d}T{h:02d}:{m:02d}:{x:02d}.{u:06d}+01:00 ",
    "[2026-11-{d:02d} {h:02d}:{m:02d}:{x:02d}] ",
    "2026年11月{d}日 {h}時{m}分{x}秒 ",
    "{n:06d}: ",
    "{n}\t",
    "{s}.{u:06d} ",
    "{c},{n},{s}{u:06d},-;",
    "kern  :{level:6}: ",
)
_WORDS = (
    ("Mo Di Mi Do Fr Sa So", "Okt Nov Dez"),
    ("lun. mar. mer. jeu. ven.", "oct. nov. déc."),
    ("月 火 水 木 金 土 日", "10月 11月 12月"),
    ("შაბ კვ ორშ", "ოქტ ნოე დეკ"),
    ("सोम मंगल बुध", "अक्तू॰ नव॰ दिस॰"),
    ("Mon Tue Wed Thu", "Oct Nov Dec"),
)
_BEFORE = ("", "> ", "> > ", "| ", '"', "    ", "node-7 console: ", "ttyS0| ", "(qemu) ", "target: ", "<pre>")
_TAGS = (
    *("", "", "host kernel: ", "kernel: ", "power9 kernel: ", "1 - host kernel - - - "),
    "host kern.info kernel: ",
)
_AFTER = (
    *("", "", '"', '",', '"}', "<br>", "^M", "\r", " \\", "</pre>", " |", " [host]", ";", "\t", " (2026)"),
    "\x1b[0m",
)
_OTHERS = (
    "host sudo[{n}]: root : TTY=pts/0 ; COMMAND=/usr/bin/grep 'ftrace failed to modify' kern.log",
    "root@host:~# dmesg | grep -E 'ftrace bug|ftrace faulted on writing'",
    "ok {n} - no line has ftrace failed to modify",
    "module_64: foo: Address of ftrace_caller out of range of kernel_toc.",
    "host bash[{n}]: WARNING: nothing",
    "login: ",
    "",
)


class Dressed(NamedTuple):
    """A log in other clothing: its bytes, and whether every message is still on a line of its own."""

    data: bytes
    keeps_lines: bool


def dress(text: str, random: Random) -> Dressed:
    """Return a log, given as the kernel's messages, as something else shows it."""
    lines = text.splitlines()
    lines *= random.choice((1, 1, 1, 2))
    decorate = _decoration(random)
    others = random.random() < 0.4
    texts: list[str] = []
    for number, line in enumerate(lines):
        texts.append(decorate(number, line, random))
        if others and random.random() < 0.1:
            texts.append(random.choice(_OTHERS).format(n=number))
    keeps_lines = True
    if random.random() < 0.1:
        width = random.choice((72, 80, 100))
        texts = [line[i : i + width] for line in texts for i in range(0, max(1, len(line)), width)]
        keeps_lines = False
    return Dressed(_encode(texts, random), keeps_lines)


def _decoration(random: Random) -> Callable[[int, str, Random], str]:
    stamp = random.choice(("", *_STAMPS, *_STAMPS))
    days, months = (words.split() for words in random.choice(_WORDS))
    before, tag, after = (random.choice(some) for some in (_BEFORE, _TAGS, _AFTER))
    inner = random.choice(("", "", "[{s:5d}.{u:06d}] "))
    colour = random.random() < 0.15

    def decorate(number: int, line: str, random: Random) -> str:
        clock = {"n": number, "s": number // 3, "u": random.randrange(10**6), "c": random.randrange(8)}
        clock |= {"d": 1 + number % 30, "h": number % 24, "m": number % 60, "x": random.randrange(60)}
        names = {"day": random.choice(days), "month": random.choice(months)}
        names["level"] = random.choice(("info", "warn", "err", "notice"))
        prefix = (stamp + before if tag else before + stamp) + tag + inner
        prefix = prefix.format(**clock, **names)
        if colour:
            return f"\x1b[32m{prefix}\x1b[0m\x1b[33m{line}\x1b[0m{after}"
        return f"{prefix}{line}{after}"

    return decorate


def _encode(texts: Sequence[str], random: Random) -> bytes:
    form = random.randrange(16)
    text = "\n".join(texts) + "\n"
    if form == 0:
        return json.dumps({"log": text}).encode()
    if form == 1:
        return "".join(json.dumps({"log": f"{line}\n", "stream": "stdout"}) + "\n" for line in texts).encode()
    if form == 2:
        return json.dumps(texts).encode()
    if form == 3:
        return html.escape(text).replace("\n", "<br>").encode()
    if form == 4:
        return text.replace("\n", random.choice(("\r", "\0", "\f", "\r\n", "\\n", "\\\\n", "#012"))).encode()
    if form == 5:
        return text.encode(random.choice(("utf-16", "utf-16-le", "utf-16-be", "utf-8-sig")))
    if form == 6:
        return "".join(f"- {{dt: '2026-11-26', lvl: target, msg: '{line}'}}\n" for line in texts).encode()
    if form == 7:
        return repr(text).encode()
    return text.encode()
