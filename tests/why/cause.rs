//! A cause, as docs/why.md tells of it.

/// One row of the table.
#[derive(Debug)]
pub(crate) struct Cause {
    /// For people who look for it.
    pub(crate) name: &'static str,
    /// `code` in the API.
    pub(crate) code: &'static str,
    /// What is said, `…` for what differs from case to case. What to do stands behind the last colon.
    pub(crate) sentence: &'static str,
    /// How the test makes it happen.
    pub(crate) provoked: &'static str,
    /// The test that shows it.
    pub(crate) test: &'static str,
}

impl Cause {
    /// Whether this is what was said: the sentence, and in it no more than the names and numbers that differ.
    pub(crate) fn says(&self, said: &str) -> bool {
        let mut rest = said;
        let mut parts = self.sentence.split('…').peekable();
        let mut is_first = true;
        while let Some(part) = parts.next() {
            let is_last = parts.peek().is_none();
            let found = match (is_first, is_last) {
                (true, true) => (rest == part).then_some(0),
                (true, false) => rest.starts_with(part).then_some(0),
                (false, true) => rest.ends_with(part).then(|| rest.len() - part.len()),
                (false, false) => rest.find(part),
            };
            let Some(at) = found else { return false };
            rest = &rest[at + part.len()..];
            is_first = false;
        }
        true
    }
}

#[test]
fn only_the_sentence_is_the_sentence() {
    let cause = |sentence| Cause { name: "", code: "", sentence, provoked: "", test: "" };
    assert!(cause("… refuses connections: check it").says("cam:554 refuses connections: check it"));
    assert!(!cause("… refuses connections: check it").says("cam:554 refuses connections: check it, or not"));
    assert!(!cause("the … is").says("a camera is"));
    assert!(cause("a … b … c").says("a 1 b 2 c") && !cause("a … b … c").says("a 1 c"));
    assert!(cause("plain").says("plain") && !cause("plain").says("plainer"));
}
