"""What MkDocs calls. Everything that can be tested without MkDocs stands in the modules beside this
one.
"""

import importlib
import posixpath
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from docs import explore, lesson, live, museum, predict, quiz_page, worksheet  # noqa: E402
from docs.hooks import (  # noqa: E402
    checks,
    fences,
    generated,
    glossary,
    macros,
    maths,
    results,
    source,
)

TERMS = ROOT / "docs" / "glossary.txt"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Give the generated pages their places in the navigation."""
    places = generated.navigation(ROOT)
    for entry in config.nav or []:
        entry.update({title: places[title] for title in entry if title in places})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for uri, markdown in (
        generated.api_pages(ROOT) | generated.source_pages(ROOT) | {"checks.md": checks.page()}
    ).items():
        files.append(File.generated(config, uri, content=markdown))
    for uri, text in live.assets().items():
        files.append(File.generated(config, uri, content=text))
    for name in ("CONTRIBUTING", "CHANGELOG"):
        path = str(ROOT / f"{name}.md")
        files.append(File.generated(config, f"{name.lower()}.md", abs_src_path=path))
    for uri in generated.proof_files(ROOT):
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / uri)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    uri = page.file.src_uri
    if uri.startswith(("source/", "api/")):
        return markdown
    if uri.startswith("proofs/"):
        known = {file.src_uri for file in files}
        markdown = generated.relink(markdown, uri, set(source.pages(ROOT)), known)
    else:
        try:
            markdown = macros.expand(fences.with_output(markdown, uri), functions(uri))
        except (LookupError, OSError, RuntimeError, SyntaxError, ValueError) as error:
            raise PluginError(f"{uri}: {error}") from error
    return markdown + "\n\n" + glossary.abbreviations(glossary.terms(TERMS))


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    try:
        return maths.to_mathml(html)
    except ValueError as error:
        raise PluginError(f"{page.file.src_uri}: {error}") from error


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """The theme's search box is a dialog without a name, which a screen reader would want."""
    unnamed = 'data-md-component="search" role="dialog"'
    return output.replace(unnamed, f'{unnamed} aria-label="Search"')


def functions(uri: str) -> dict[str, Any]:
    """What a page may call, with links that are right for that page."""
    here = posixpath.dirname(uri)
    link = {
        path: posixpath.relpath(f"source/{path}.md", here or ".") for path in source.pages(ROOT)
    }
    return {
        "code": lambda path, *names: source.block(ROOT, path, names, link[path]),
        "room": lambda folder: source.room(ROOT, folder, link),
        "figure": figure,
        "mistakes": live.mistakes,
        "mistakes_of": live.mistakes_of,
        "live": lambda id: live.block(id, here),
        "explore": lambda name: explore.block(name, here),
        "predict": lambda id, *words: predict.ask(id, *words, here=here),
        "museum": lambda: museum.page(ROOT),
        "predicted": predict.show,
        "field": worksheet.field,
        "worksheet": lambda: worksheet.page(here),
        "quiz": lambda *names: quiz_page.block(*names, here=here),
        "result": lambda command, part="": results.table(ROOT, command, part),
        "number": lambda command, keys, form="{}": results.number(ROOT, command, keys, form),
        "batch_ratio": lambda size, way: results.batch_ratio(ROOT, size, way),
        "first_token_ratio": lambda size: results.first_token_ratio(ROOT, size),
        "lesson_map": lambda: lesson.table(link),
        "lowest_tv": lambda: results.lowest_tv(ROOT),
        "glossary": lambda: glossary.page(glossary.terms(TERMS)),
        "best_draft": lambda key, form="{}": results.best_draft(ROOT, key, form),
        "bug_tv": lambda name: results.bug_tv(ROOT, name),
        "proofs": lambda: generated.proofs(ROOT),
    }


def figure(name: str) -> str:
    """A figure drawn now by docs/figures/NAME.py, with the caption that it computed."""
    module = importlib.import_module(f"docs.figures.{name}")
    return (
        f'<figure class="drawing" id="figure-{name}">{module.draw()}'
        f"<figcaption>{module.caption()}</figcaption></figure>"
    )


def on_post_build(config: MkDocsConfig) -> None:
    """A site without a server has no use for the theme's 404 page, whose links need a server's
    root.
    """
    (Path(config.site_dir) / "404.html").unlink(missing_ok=True)
