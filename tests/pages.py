"""HTML pages as tests look at them: whether all is closed, labelled, and inside the file."""

from html.parser import HTMLParser

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """A page that was read; ``faults`` are what is wrong with it."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.faults, self.tags, self.open, self.ids = [], [], [], []
        self.text, self.within = "", {}
        self.feed(text)
        self.close()
        self.faults += [f"{tag} is never closed" for tag in self.open]
        self._check()

    def handle_starttag(self, tag, attributes):
        names = [name for name, _ in attributes]
        if len(set(names)) < len(names):
            self.faults.append(f"{tag} has an attribute twice")
        self.tags.append((tag, dict(attributes), list(self.open)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"{tag} is closed where it is not open")

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.text += data
            for tag in set(self.open):
                self.within[tag] = self.within.get(tag, "") + data

    def all(self, wanted):
        """Return the attributes of all elements of a kind."""
        return [attributes for tag, attributes, _ in self.tags if tag == wanted]

    def _check(self):
        ids = [a["id"] for _, a, _ in self.tags if "id" in a]
        if len(set(ids)) < len(ids):
            self.faults.append("an id stands twice")
        for tag, attributes, above in self.tags:
            for name in ("src", "href", "action", "data", "poster", "srcset", "xlink:href"):
                value = attributes.get(name, "#")
                inside = value.startswith(("#", "data:image/png;base64,"))
                if not inside or (value.startswith("#") and value[1:] not in ("", *ids)):
                    self.faults.append(f"{tag} leads to {value[:60]}")
            if any(name.startswith("on") for name in attributes):
                self.faults.append(f"{tag} has a handler")
            spoken = attributes.get("role") == "img" and attributes.get("aria-label")
            if tag == "svg" and attributes.get("aria-hidden") != "true" and not spoken:
                self.faults.append("a picture has no words")
            if tag == "img" and not attributes.get("alt"):
                self.faults.append("an img has no alt")
            if tag == "td" and "tbody" not in above:
                self.faults.append("a td outside of a table's body")
        if len(self.all("table")) != len(self.all("caption")):
            self.faults.append("a table has no caption")
        if len(self.all("h1")) != 1 or self.all("html")[0].get("lang") != "en":
            self.faults.append("not one heading, or no language")


def read(path):
    """Return the page of a file, which must have no fault."""
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert not page.faults, page.faults
    for word in ("@import", "url(", "http:", "https:", "fetch(", "XMLHttpRequest"):
        assert word not in text, word
    assert len(text.encode()) < 2_000_000
    return page
