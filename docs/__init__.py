"""The site: pages in Markdown, figures computed at build, hooks that bring in the real source."""
