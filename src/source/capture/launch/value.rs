//! What the value of a placeholder may hold: what device paths, numbers, caps and URLs need, and nothing that could
//! add an element or a property.
//!
//! Where the file puts the placeholder between double quotes, GStreamer takes the value as one text: there it may be
//! empty and hold spaces, and a user name or a password may hold what people put into passwords.

/// Longest value, in bytes. The longest URLs that cameras use have some 300.
const MAX_LENGTH: usize = 1_024;
/// What a value may hold beside letters and digits.
const PUNCTUATION: &str = "/._-:,+@%=?&~[]";
/// Placeholders for what somebody chose to be hard to guess.
const CREDENTIALS: [&str; 2] = ["username", "password"];

/// What is wrong with `value` for the placeholder `name`.
pub(super) fn fault(name: &str, value: &str, quoted: bool) -> Option<String> {
    if value.is_empty() && !quoted {
        return Some("is empty".into());
    }
    if value.len() > MAX_LENGTH {
        return Some(format!("has {} characters, more than {MAX_LENGTH}", value.len()));
    }
    if quoted && CREDENTIALS.contains(&name) {
        // A quote would end the text; a backslash would give the next character a meaning of its own.
        let bad = value.chars().find(|c| c.is_control() || matches!(c, '"' | '\\'))?;
        return Some(format!("has the character {bad:?}, which no pipeline can take"));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || PUNCTUATION.contains(c) || (quoted && c == ' ');
    let bad = value.chars().find(|c| !allowed(*c))?;
    let space = if quoted { ", spaces" } else { "" };
    Some(format!("has the character {bad:?}; letters, digits{space} and {PUNCTUATION} are allowed"))
}

/// A whole number within bounds.
pub(super) fn number(value: &str, least: u32, most: u32) -> Result<u32, String> {
    let number = value.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("is not a whole number from {least} to {most}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_in_that_could_add_something() {
        for value in
            ["", "a b", "a!b", "a\"b", "a'b", "a\\b", "a;b", "a(b", "a{b}", "a\nb", "a\tb", "a#b", "a\u{a0}b", "a\0b"]
        {
            assert!(fault("x", value, false).is_some(), "{value:?}");
        }
        for value in ["a!b", "a\"b", "a'b", "a\\b", "a;b", "a(b", "a{b}", "a\nb", "a\tb", "a\u{a0}b"] {
            assert!(fault("x", value, true).is_some(), "{value:?}");
        }
        for value in ["\"", "a\" ! fakesink name=\"b", "a\\", "a\nb", "a\0b"] {
            assert!(fault("password", value, true).is_some(), "{value:?}");
        }
        assert!(fault("password", "a!b", false).is_some());
        assert!(fault("x", &"1".repeat(1_025), false).is_some_and(|reason| reason.contains("more than 1024")));
    }

    #[test]
    fn what_cameras_need_gets_in() {
        for value in [
            "/dev/v4l/by-id/usb-046d_HD_Pro-video-index0",
            "hw:1,0",
            "30/1",
            "-5",
            "rtsps://[::1]:322/cam/realmonitor?channel=1&subtype=0&d=%20",
            "F0:0D:12",
            "/base/axi/pcie@1000120000/rp1/i2c@88000/imx708@1a",
        ] {
            assert_eq!(fault("x", value, false), None, "{value}");
        }
        assert_eq!(fault("file", "/srv/My Videos/a demo.mp4", true), None);
        assert_eq!(fault("camera", "", true), None);
        assert_eq!(fault("password", "pa$$ w(o)rd! 'é'", true), None);
    }

    #[test]
    fn numbers_have_bounds() {
        assert_eq!(number("50", 1, 1_000), Ok(50));
        for value in ["0", "1001", "-1", "2.5", "ten", "", "1 000"] {
            assert_eq!(number(value, 1, 1_000), Err("is not a whole number from 1 to 1000".into()), "{value}");
        }
    }
}
