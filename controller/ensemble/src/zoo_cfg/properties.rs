//! Java's two ways to write properties: a file's lines and a command's flags.

use std::str::Chars;

/// One line that says something.
#[derive(Debug)]
pub(super) struct Property {
    /// Counted from 1.
    pub(super) line: usize,
    pub(super) key: String,
    pub(super) value: String,
}

/// A line has `\u` and not four hexadecimal digits behind it, or half of a character that needs two.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct BadEscape {
    /// Counted from 1.
    pub(super) line: usize,
}

/// Java's properties: `#` and `!` begin comments, `=`, `:` or blanks end a key, a backslash continues a
/// line, begins `\uXXXX`, or takes the next character as it is.
pub(super) fn properties(text: &str) -> Result<Vec<Property>, BadEscape> {
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
        let line = at + 1;
        let (Some(key), Some(value)) = (unescape(key), unescape(value)) else {
            return Err(BadEscape { line });
        };
        found.push(Property { line, key, value: value.trim().to_owned() });
    }
    Ok(found)
}

/// The same text without the values of keys that are secret.
pub(super) fn hidden(text: &str, is_secret: impl Fn(&str) -> bool) -> Result<String, BadEscape> {
    let found = properties(text)?;
    let secret = |at| found.iter().find(|one| one.line == at + 1 && is_secret(&one.key));
    let mut shown = String::with_capacity(text.len());
    let mut lines = text.lines().enumerate();
    while let Some((at, mut line)) = lines.next() {
        match secret(at) {
            None => shown += line,
            Some(one) => {
                shown += &format!("{}=...", one.key);
                while continues(line) {
                    line = lines.next().map_or("", |(_, more)| more);
                }
            }
        }
        shown.push('\n');
    }
    Ok(shown)
}

fn continues(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// Key and value, escaped as they are.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line.find(|c: char| {
        let ends = !escaped && (matches!(c, '=' | ':') || c.is_whitespace());
        escaped = c == '\\' && !escaped;
        ends
    });
    let (key, rest) = line.split_at(end.unwrap_or(line.len()));
    let rest = rest.trim_start();
    (key, rest.strip_prefix(['=', ':']).unwrap_or(rest))
}

/// `None`: an escape that is none.
fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('t') => out.push('\t'),
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some('f') => out.push('\u{c}'),
                Some('u') => out.push(char_of(&mut chars)?),
                other => out.extend(other),
            },
            c => out.push(c),
        }
    }
    Some(out)
}

/// The character of four hexadecimal digits; of twice as many, where UTF-16 has two units for it.
fn char_of(chars: &mut Chars<'_>) -> Option<char> {
    let first = unit(chars)?;
    if let Some(c) = char::from_u32(first.into()) {
        return Some(c);
    }
    chars.as_str().strip_prefix("\\u")?;
    chars.nth(1);
    let both = [first, unit(chars)?];
    char::decode_utf16(both).next()?.ok()
}

fn unit(chars: &mut Chars<'_>) -> Option<u16> {
    let digits: String = chars.take(4).collect();
    let hex = digits.len() == 4 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    hex.then(|| u16::from_str_radix(&digits, 16).ok())?
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
    fn a_file_is_read_as_java_reads_it() {
        let one = |text: &str| {
            let found = properties(text).expect("all escapes are right");
            let [one] = found.try_into().expect("one line says something");
            (one.key, one.value)
        };
        for (text, key, value) in [
            ("# none\n\n t\\u0069ckTime=\\u0032000 ", "tickTime", "2000"),
            ("a\\=b c\\:d = e\\\\=f", "a=b", "c:d = e\\=f"),
            ("a \\\n  b", "a", "b"),
            ("a = b", "a", "b"),
            ("a:=b", "a", "=b"),
            ("a", "a", ""),
            ("\\u00fc=\\uD83D\\uDE00\\x", "\u{fc}", "\u{1f600}x"),
            ("a=b\\tc\\fd", "a", "b\tc\u{c}d"),
        ] {
            assert_eq!(one(text), (key.to_owned(), value.to_owned()), "{text}");
        }
        for bad in ["\\u12", "\\u12x4", "\\u+123", "\\uD83D", "\\uD83D\\u0041", "\\uDE00"] {
            let text = format!("a=1\nb={bad}\n");
            assert_eq!(properties(&text).err(), Some(BadEscape { line: 2 }), "{bad}");
        }
    }

    #[test]
    fn a_secret_is_hidden_to_its_last_line() {
        let text = "# mine\nssl.keyStore.password = a\\\n  b\\\n  c\nclientPort = \\\n 5";
        let shown = hidden(text, |key| key.ends_with("password")).expect("all escapes are right");
        assert_eq!(shown, "# mine\nssl.keyStore.password=...\nclientPort = \\\n 5\n");
    }

    #[test]
    fn flags_are_found_among_what_is_javas() {
        let found = flags("-Xmx1g -Dzookeeper.snapCount=5 '-Da=b c' -Dzookeeper.on -verbose");
        let found: Vec<_> = found.iter().map(|one| (&one.key[..], &one.value[..])).collect();
        let expected = [("zookeeper.snapCount", "5"), ("a", "b c"), ("zookeeper.on", "true")];
        assert_eq!(found, expected);
    }
}
