//! Role names, refused with Mesos's words.

use types::Role;

/// Checks a role name.
pub(crate) fn role(name: &str) -> Result<Role, String> {
    if name == "*" {
        return Ok(Role::star());
    }
    let name: &str = name.get(..1024).unwrap_or(name);
    if name.is_empty() {
        return Err(String::from("Role names cannot be the empty string"));
    }
    if name.starts_with('/') {
        return Err(format!("Role '{name}' cannot start with a slash"));
    }
    if name.ends_with('/') {
        return Err(format!("Role '{name}' cannot end with a slash"));
    }
    if name.contains("//") {
        return Err(format!("Role '{name}' cannot contain two adjacent slashes"));
    }
    for component in name.split('/') {
        if matches!(component, "." | ".." | "*") {
            return Err(format!("Role '{name}' cannot include '{component}' as a component"));
        }
        if component.starts_with('-') {
            return Err(format!(
                "Role component '{component}' is invalid because it starts with a dash"
            ));
        }
        if component.contains(['\t', '\n', '\u{b}', '\u{c}', '\r', ' ', '\u{7f}']) {
            return Err(format!(
                "Role component '{component}' is invalid because it contains backspace or whitespace"
            ));
        }
    }
    // What Mesos lets through and no role here can be: other control characters and white space.
    Role::parse(name).map_err(|error| error.to_string())
}
