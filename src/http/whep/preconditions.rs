//! `ETag` and `If-Match` (RFC 9110 sections 8.8.3 and 13.1.1): which ICE session a PATCH is meant for.

use axum::http::{HeaderMap, HeaderValue, header};

use crate::peer::Expected;

/// The strong entity tag of an ICE generation.
pub(super) fn entity_tag(generation: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("\"{generation}\"")).ok()
}

/// What `If-Match` asks for; `None` without one.
pub(super) fn expected(headers: &HeaderMap) -> Option<Expected> {
    let mut fields = headers.get_all(header::IF_MATCH).iter().peekable();
    fields.peek()?;
    let tags: Vec<&str> =
        fields.filter_map(|field| field.to_str().ok()).flat_map(|field| field.split(',')).map(str::trim).collect();
    // The draft spells the wildcard in quotes in its example, and clients have followed it.
    if tags.iter().any(|tag| matches!(*tag, "*" | "\"*\"")) {
        return Some(Expected::Any);
    }
    // Comparison is strong: a weak tag matches nothing.
    let strong = tags.iter().filter_map(|tag| tag.strip_prefix('"')?.strip_suffix('"'));
    Some(Expected::OneOf(strong.map(str::to_owned).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &[&'static str]) -> Option<Expected> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(header::IF_MATCH, HeaderValue::from_static(field));
        }
        expected(&headers)
    }

    #[test]
    fn tags_are_compared_strongly() {
        let one_of = |tags: &[&str]| Some(Expected::OneOf(tags.iter().map(|tag| (*tag).to_owned()).collect()));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["*"]), Some(Expected::Any));
        assert_eq!(of(&["\"*\""]), Some(Expected::Any));
        assert_eq!(of(&["\"a\", \"b\"", "\"c\""]), one_of(&["a", "b", "c"]));
        assert_eq!(of(&["W/\"a\""]), one_of(&[]));
        assert_eq!(of(&["a"]), one_of(&[]));
    }
}
