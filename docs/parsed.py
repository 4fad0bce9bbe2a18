"""One built page as a browser meets it: what it loads, where it leads, which code it shows."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

LOADS = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "embed": "src",
    "object": "data",
    "use": "href",
    "image": "href",
}
LINKS_THAT_LOAD = {
    "stylesheet",
    "preload",
    "preconnect",
    "dns-prefetch",
    "icon",
    "modulepreload",
    "prefetch",
}
CSS_URL = re.compile(r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)")
# By class: what the theme's script would ask the network for.
THEME_WOULD_FETCH = {"mermaid": "diagrams", "md-source": "a repository's stars"}


@dataclass
class Shown(HTMLParser):
    """What one page loads, links to, defines and shows."""

    page: str
    loads: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    fetching: list[str] = field(default_factory=list)
    code: list[tuple[str, str, str]] = field(default_factory=list)  # path, names, text
    texts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.block: tuple[str, str] | None = None
        self.depth = 0
        self.inside: str | None = None
        self.script = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        has = {name: value or "" for name, value in attrs}
        self.anchors |= {has[name] for name in ("id", "name") if has.get(name)}
        classes = set(has.get("class", "").split())
        self.fetching += [what for name, what in THEME_WOULD_FETCH.items() if name in classes]
        self.loads += [has[LOADS[tag]]] if has.get(LOADS.get(tag, "")) else []
        self.loads += re.split(r"[\s,]+", has["srcset"]) if has.get("srcset") else []
        if tag == "link" and set(has.get("rel", "").split()) & LINKS_THAT_LOAD:
            self.loads.append(has.get("href", ""))
        if tag == "a" and has.get("href"):
            self.links.append(has["href"])
        if tag in ("script", "style") or "style" in has:
            self.script = tag
            self.loads += urls(has.get("style", ""))
        if tag == "div":
            if "data-path" in has:
                self.block, self.depth = (has["data-path"], has.get("data-names", "")), 0
            self.depth += 1
        if tag == "code" and self.block:
            self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside is not None:
            self.inside += data
        elif self.script == "style":
            self.loads += urls(data)
        if self.script not in ("script", "style"):
            self.texts.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self.script = ""
        if tag == "code" and self.inside is not None and self.block:
            self.code.append((*self.block, self.inside))
            self.inside = None
        if tag == "div" and self.block:
            self.depth -= 1
            self.block = self.block if self.depth else None


def urls(css: str) -> list[str]:
    return [(a or b).strip() for a, b in CSS_URL.findall(css)]


def external(address: str) -> bool:
    return bool(re.match(r"(?:[a-z][a-z0-9+.-]*:)?//", address.strip(), re.I))


def read(site: Path) -> dict[str, Shown]:
    """Every HTML page of the site, parsed."""
    pages = {}
    for path in sorted(site.rglob("*.html")):
        name = path.relative_to(site).as_posix()
        pages[name] = Shown(name)
        pages[name].feed(path.read_text())
    return pages
