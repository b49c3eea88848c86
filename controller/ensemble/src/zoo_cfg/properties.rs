//! Java's two ways to write properties: a file's lines and a command's flags.

/// One line that says something.
#[derive(Debug)]
pub(super) struct Property {
    /// Counted from 1.
    pub(super) line: usize,
    pub(super) key: String,
    pub(super) value: String,
}

/// Java's properties: `#` and `!` begin comments, `=`, `:` or blanks end a key, a backslash continues a
/// line or takes the next character as it is.
pub(super) fn properties(text: &str) -> Vec<Property> {
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let mut logical = line.trim_start().to_owned();
        if logical.is_empty() || logical.starts_with(['#', '!']) {
            continue;
        }
        while continues(&logical) {
            logical.pop();
            match lines.next() {
                Some((_, more)) => logical.push_str(more.trim_start()),
                None => break,
            }
        }
        let (key, value) = split(&logical);
        found.push(Property { line: at + 1, key, value: value.trim().to_owned() });
    }
    found
}

fn continues(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

fn split(line: &str) -> (String, String) {
    let mut key = String::new();
    let mut chars = line.chars();
    let mut rest = "";
    while let Some(c) = chars.next() {
        match c {
            '\\' => key.extend(chars.next()),
            '=' | ':' => {
                rest = chars.as_str();
                break;
            }
            c if c.is_whitespace() => {
                let behind = chars.as_str().trim_start();
                rest = behind.strip_prefix(['=', ':']).unwrap_or(behind);
                break;
            }
            c => key.push(c),
        }
    }
    (key, unescape(rest))
}

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('t') => out.push('\t'),
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                other => out.extend(other),
            },
            c => out.push(c),
        }
    }
    out
}

/// The `-Dkey=value` words of a JVM's command line; quotes as a shell takes them. The rest is for Java.
pub(super) fn flags(text: &str) -> Vec<Property> {
    let words = shell_words(text);
    let definitions = words.iter().filter_map(|word| word.strip_prefix("-D"));
    definitions
        .map(|definition| {
            let (key, value) = definition.split_once('=').unwrap_or((definition, "true"));
            Property { line: 1, key: key.to_owned(), value: value.to_owned() }
        })
        .collect()
}

fn shell_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in text.chars() {
        match quote {
            Some(end) if c == end => quote = None,
            Some(_) => word.get_or_insert_default().push(c),
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c.is_whitespace() => words.extend(word.take()),
            None => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_found_among_what_is_javas() {
        let found = flags("-Xmx1g -Dzookeeper.snapCount=5 '-Da=b c' -Dzookeeper.on -verbose");
        let found: Vec<_> = found.iter().map(|one| (&one.key[..], &one.value[..])).collect();
        let expected = [("zookeeper.snapCount", "5"), ("a", "b c"), ("zookeeper.on", "true")];
        assert_eq!(found, expected);
    }
}
