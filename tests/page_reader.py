"""Reads an HTML page that this project wrote, and checks that its tags are balanced."""

from html.parser import HTMLParser

VOID = {"meta", "img", "br"}


class Reader(HTMLParser):
    """Checks that tags are balanced; keeps ids, links, sources, and the table cells with their
    numbers."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.tags = [], [], [], []
        self.numbers, self.rows = [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        assert len(given) == len(attributes), f"<{tag}> has an attribute twice"
        self.tags.append((tag, given))
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given["href"]] if "href" in given else []
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag == "td" and "tbody" in self.open:
            self.rows[-1].append(["", []])
        if tag == "data":
            self.numbers.append([given, ""])
            if {"td", "tbody"} <= {*self.open}:
                self.rows[-1][-1][1].append(given)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes another tag"

    def handle_data(self, data):
        if {"td", "tbody"} <= {*self.open}:
            self.rows[-1][-1][0] += data
        if self.open and self.open[-1] == "data":
            self.numbers[-1][1] += data
