//! XML of strangers: within bounds, by local names, because every maker has prefixes of its own.

use roxmltree::{Node, ParsingOptions};

/// Elements and texts of one document. A camera with sixteen profiles has some two thousand.
const MAX_NODES: u32 = 50_000;
/// Of a text that is shown, in characters.
const MAX_SHOWN: usize = 100;
/// Deepest nesting that is looked at; ONVIF's is below twenty. The parser's own stack is safe below it.
const MAX_DEPTH: usize = 64;

/// A document.
pub(crate) struct Document<'a>(roxmltree::Document<'a>);

/// An element.
#[derive(Clone, Copy)]
pub(crate) struct Element<'a, 'd>(Node<'a, 'd>);

impl<'a> Document<'a> {
    /// `None` for what is no XML, has a DTD, or is too large or too deep.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        if depth(text) > MAX_DEPTH {
            return None;
        }
        let options = ParsingOptions { allow_dtd: false, nodes_limit: MAX_NODES, ..ParsingOptions::default() };
        roxmltree::Document::parse_with_options(text, options).ok().map(Self)
    }

    /// The first element of that local name.
    pub(crate) fn first(&self, name: &str) -> Option<Element<'_, 'a>> {
        Element(self.0.root_element()).first(name)
    }

    /// All of that local name.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = Element<'_, 'a>> {
        self.0.descendants().filter(move |node| node.has_tag_name_local(name)).map(Element)
    }
}

impl<'a, 'd> Element<'a, 'd> {
    /// The first element of that local name in it, or itself.
    pub(crate) fn first(self, name: &str) -> Option<Self> {
        self.0.descendants().find(|node| node.has_tag_name_local(name)).map(Self)
    }

    /// What stands in the first element of that local name, without white space around it; `None` when there is nothing.
    pub(crate) fn text(self, name: &str) -> Option<&'a str> {
        self.first(name)?.0.text().map(str::trim).filter(|text| !text.is_empty())
    }

    /// All of that local name in it.
    pub(crate) fn all(self, name: &'static str) -> impl Iterator<Item = Self> + use<'a, 'd> {
        self.0.descendants().filter(move |node| node.has_tag_name_local(name)).map(Self)
    }

    pub(crate) fn attribute(self, name: &str) -> Option<&'a str> {
        self.0.attribute(name)
    }
}

trait LocalName {
    fn has_tag_name_local(&self, name: &str) -> bool;
}

impl LocalName for Node<'_, '_> {
    fn has_tag_name_local(&self, name: &str) -> bool {
        self.is_element() && self.tag_name().name() == name
    }
}

/// Deepest nesting, roughly: what opens less what closes. Never less than it is in XML without comments.
fn depth(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut depth, mut deepest) = (0usize, 0);
    for (at, byte) in bytes.iter().enumerate() {
        match (byte, bytes.get(at + 1)) {
            (b'<', Some(b'/')) => depth = depth.saturating_sub(1),
            (b'<', Some(b'?' | b'!')) => {}
            (b'<', _) => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            (b'/', Some(b'>')) => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// A stranger's text for a terminal: one line, not too long, with control characters spelt out, and those that change the
/// direction of writing.
pub(crate) fn readable(text: &str) -> String {
    let harmless = |c: char| {
        !c.is_control()
            && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let spelt = |c: char| if harmless(c) { c.to_string() } else { c.escape_unicode().to_string() };
    let mut shown: String = text.trim().chars().take(MAX_SHOWN).map(spelt).collect();
    if text.trim().chars().count() > MAX_SHOWN {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_by_their_local_names() {
        let text = r#"<a:x xmlns:a="urn:1"><b token="1"> one </b><b>two</b><c/></a:x>"#;
        let document = Document::read(text).unwrap();
        let all: Vec<_> = document.all("b").filter_map(|element| element.text("b")).collect();
        assert_eq!(all, ["one", "two"]);
        assert_eq!(document.first("b").and_then(|b| b.attribute("token")), Some("1"));
        assert!(document.first("x").is_some_and(|x| x.text("c").is_none()));
    }

    #[test]
    fn hostile_documents_are_not_read() {
        assert!(Document::read(&format!("<a>{}</a>", "<b/>".repeat(60_000))).is_none(), "too many");
        assert!(Document::read(&format!("{}{}", "<a>".repeat(1_000), "</a>".repeat(1_000))).is_none(), "too deep");
        assert!(Document::read("<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><a>&b;</a>").is_none());
        assert!(Document::read("<a").is_none());
    }

    #[test]
    fn what_is_shown_moves_no_cursor_and_turns_no_line() {
        assert_eq!(readable(" a\u{1b}]0;x\u{7}\nb\u{202e}c "), "a\\u{1b}]0;x\\u{7}\\u{a}b\\u{202e}c");
        assert_eq!(readable(&"x".repeat(1_000)).len(), 103);
    }
}
