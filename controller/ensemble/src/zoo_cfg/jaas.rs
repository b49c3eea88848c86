//! The part of a JAAS file that a ZooKeeper server reads: users and their passwords.

use std::collections::BTreeMap;

/// The users of a section; `None` when there is no such section. A section is
/// `Name { Module required user_<name>="<password>" … ; };`, and only these entries count.
pub(super) fn users(text: &str, section: &str) -> Option<BTreeMap<String, String>> {
    let options = options(text, section)?;
    let users = options
        .into_iter()
        .filter_map(|(key, value)| key.strip_prefix("user_").map(|user| (user.to_owned(), value)));
    Some(users.collect())
}

/// The user that a section logs in as, and its password.
pub(super) fn login(text: &str, section: &str) -> Option<(String, String)> {
    let mut options = options(text, section)?;
    Some((options.remove("username")?, options.remove("password")?))
}

fn options(text: &str, section: &str) -> Option<BTreeMap<String, String>> {
    let tokens = tokens(text);
    let start = tokens.windows(2).position(|two| two[0] == section && two[1] == "{")? + 2;
    let end =
        tokens[start..].iter().position(|token| token == "}").map_or(tokens.len(), |at| start + at);
    let options = tokens[start..end].windows(3).filter(|three| three[1] == "=");
    Some(options.map(|three| (three[0].clone(), three[2].clone())).collect())
}

/// Words, quoted texts, and the signs `{ } = ;`; comments as in Java are left out.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => {}
            '/' if chars.peek() == Some(&'/') => drop(chars.by_ref().find(|c| *c == '\n')),
            '/' if chars.peek() == Some(&'*') => {
                let mut before = ' ';
                let ends = |c: &char| std::mem::replace(&mut before, *c) == '*' && *c == '/';
                let _end = chars.by_ref().skip(1).find(ends);
            }
            '{' | '}' | '=' | ';' => tokens.push(c.to_string()),
            '"' => {
                let mut word = String::new();
                while let Some(c) = chars.next().filter(|c| *c != '"') {
                    word.extend(if c == '\\' { chars.next() } else { Some(c) });
                }
                tokens.push(word);
            }
            first => {
                let mut word = String::from(first);
                while let Some(c) = chars.next_if(|c| !c.is_whitespace() && !"{}=;\"".contains(*c))
                {
                    word.push(c);
                }
                tokens.push(word);
            }
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_users_are_found() {
        let text = "// for all\nClient { x required user_a=\"no\"; };\n/* the * server */ Server {\n  \
            org.apache.zookeeper.server.auth.DigestLoginModule required\n  user_super=\"ad\\\"min\"\n  \
            user_bob=\"b;b\";\n};\n";
        let users = users(text, "Server").expect("there is one");
        let users: Vec<_> = users.iter().map(|(name, word)| (&name[..], &word[..])).collect();
        assert_eq!(users, [("bob", "b;b"), ("super", "ad\"min")]);
        assert_eq!(super::users(text, "Other"), None);
        let text = "QuorumLearner { x required username=\"m\" password=\"w\"; };";
        assert_eq!(login(text, "QuorumLearner"), Some(("m".to_owned(), "w".to_owned())));
        assert_eq!(login("Client { x required username=\"m\"; };", "Client"), None);
        assert_eq!(super::users("Server {", "Server").map(|users| users.len()), Some(0));
    }
}
