//! The way from the root of the configuration to one value: `camera[1].with.device`.

use std::fmt;

/// Keys and list positions, outermost first. The `Display` is the path language of the `config` crate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct KeyPath(Vec<Step>);

/// One step towards a value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Step {
    /// Into a table.
    Key(String),
    /// Into a list, counted from 0.
    Index(usize),
}

impl KeyPath {
    /// The path of a top-level key.
    pub(super) fn root(key: &str) -> Self {
        Self::default().key(key)
    }

    /// This path and one key further.
    pub(super) fn key(&self, key: &str) -> Self {
        self.with(Step::Key(key.to_owned()))
    }

    /// This path and one list position further.
    pub(super) fn index(&self, index: usize) -> Self {
        self.with(Step::Index(index))
    }

    /// This path and then each path around it, without the root.
    pub(super) fn outwards(&self) -> impl Iterator<Item = Self> {
        (1..=self.0.len()).rev().map(|len| Self(self.0[..len].to_vec()))
    }

    /// The list of tables, the position in it, and the rest of the path, if this is within a `[[camera]]` or the like.
    pub(super) fn within_list(&self) -> Option<(&str, usize, Self)> {
        match self.0.as_slice() {
            [Step::Key(list), Step::Index(index), rest @ ..] => Some((list, *index, Self(rest.to_vec()))),
            _ => None,
        }
    }

    fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if position == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}
