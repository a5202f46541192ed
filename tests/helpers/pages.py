"""A helper of tests: what a page of HTML holds."""

from html.parser import HTMLParser

VOID = {"meta", "link", "br", "img", "input"}
UNSEEN = {"style", "script", "svg"}


class Page(HTMLParser):
    """The tags of a page, their attributes, and its text: without figures, and without cells for narrow screens."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.unseen: list[int] = []  # depths at which something begins that is no text of the page
        self.feed(text)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
            if tag in UNSEEN or ("class", "narrow") in attrs:
                self.unseen.append(len(self.open))
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            if self.unseen[-1:] == [len(self.open)]:
                self.unseen.pop()
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.unseen:
            self.words.append(data)
