//! One word of an iPXE script.

/// A word.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Word(String);

/// Why a text is not a word.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WordError(String);

impl Word {
    /// Checks the text.
    pub fn new(text: impl Into<String>) -> Result<Word, WordError> {
        Ok(Word(text.into()))
    }
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
