//! The elements of a JSON list, one after the other, as slices of its text.
//!
//! Called by the formats for lists of clients and providers, whose length is theirs. Always true: nothing is allocated,
//! and what stands behind the last element that was taken is not read.

use super::scan;

/// The elements of a list.
#[derive(Clone, Debug)]
pub(crate) struct Elements<'t> {
    text: &'t str,
    at: usize,
}

/// The elements of the list `text`, which must be valid JSON; `None` if it is no list.
pub(crate) fn elements(text: &str) -> Option<Elements<'_>> {
    text.starts_with('[').then_some(Elements { text, at: 1 })
}

impl<'t> Iterator for Elements<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        let bytes = self.text.as_bytes();
        self.at = after_space(bytes, self.at);
        if bytes.get(self.at) == Some(&b',') {
            self.at = after_space(bytes, self.at + 1);
        }
        // At the closing bracket there is no value.
        let end = scan::value_end(bytes, self.at).ok()?;
        let from = std::mem::replace(&mut self.at, end);
        self.text.get(from..end)
    }
}

/// The first place from `at` on that is not white space.
pub(crate) fn after_space(text: &[u8], at: usize) -> usize {
    let tail = text.get(at..).unwrap_or_default();
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
    at + tail.iter().take_while(|byte| is_space(byte)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_slices_of_the_list() {
        let all = |text| elements(text).map(|list| list.collect::<Vec<_>>());
        assert_eq!(
            all(r#"[ 1 ,"a,]" , {"b":[2]}, [ ] ]"#).unwrap(),
            ["1", "\"a,]\"", "{\"b\":[2]}", "[ ]"]
        );
        assert_eq!(all("[]").unwrap(), [""; 0]);
        assert_eq!(all("[ \n]").unwrap(), [""; 0]);
        assert_eq!(all("{}"), None);
    }
}
