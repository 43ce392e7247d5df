//! Passwords that cameras want in the path or the query of their URLs: `/?user=admin&password=x`, `/user=admin_password=x_channel=1`.

/// Names of values that nobody is shown, also as the end of a longer name.
const SECRET: [&str; 6] = ["password", "passwd", "pass", "pwd", "psw", "token"];

/// The text with `***` in place of such values, and the values.
pub(crate) fn masked(url: &str) -> (String, Vec<&str>) {
    let (mut shown, mut values, mut rest) = (String::new(), Vec::new(), url);
    while let Some(at) = rest.find('=') {
        let (name, value) = (rest[..at].to_ascii_lowercase(), &rest[at + 1..]);
        shown.push_str(&rest[..=at]);
        rest = value;
        if SECRET.iter().any(|secret| name.ends_with(secret)) {
            let end = end_of(value);
            if end > 0 {
                shown.push_str("***");
                values.push(&value[..end]);
            }
            rest = &value[end..];
        }
    }
    (shown + rest, values)
}

/// Where a value ends: some cameras have an underscore where others have an ampersand, and passwords may have underscores.
fn end_of(value: &str) -> usize {
    let names_another = |rest: &str| {
        let name = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        name > 0 && rest[name..].starts_with('=')
    };
    let ends = |(at, c): (usize, char)| match c {
        '&' | '/' | ';' | '?' | '#' => Some(at),
        '_' if names_another(&value[at + 1..]) => Some(at),
        _ => None,
    };
    value.char_indices().find_map(ends).unwrap_or(value.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_urls_are_not_shown() {
        let cases = [
            ("rtsp://h/?user=admin&password=hunter2&channel=1", "rtsp://h/?user=admin&password=***&channel=1"),
            ("rtsp://h/user=admin_password=hun_ter2_channel=1", "rtsp://h/user=admin_password=***_channel=1"),
            ("rtsp://h/a?PWD=hunter2", "rtsp://h/a?PWD=***"),
            ("rtsp://h/a?userpass=hunter2/x", "rtsp://h/a?userpass=***/x"),
            ("rtsp://h/a?password=", "rtsp://h/a?password="),
            ("rtsp://h/cam/realmonitor?channel=1&subtype=0", "rtsp://h/cam/realmonitor?channel=1&subtype=0"),
        ];
        for (url, shown) in cases {
            assert_eq!(masked(url).0, shown);
        }
        assert_eq!(masked(cases[1].0).1, ["hun_ter2"]);
    }
}
