//! What a camera notices, out of the XML of its metadata track (ONVIF Streaming Specification section 5.1.2.1, Core Specification
//! section 9.5.2).
//!
//! In: one message. Out: its events, each with bounded texts. What is no event, such as where things are in the picture, and what
//! cannot be read, is passed over.

use crate::{
    media::CameraEvent,
    xml::{Document, Element},
};

/// Longest message that is looked at, in bytes.
const LONGEST: usize = 64 << 10;
/// Events of one message, and names and values of one event.
const MOST: usize = 16;
/// Longest text, in characters.
const TEXT: usize = 128;

pub(super) fn read(message: &[u8]) -> Vec<CameraEvent> {
    let text = std::str::from_utf8(message).ok().filter(|text| text.len() <= LONGEST);
    let Some(document) = text.and_then(Document::read) else { return Vec::new() };
    document.all("NotificationMessage").take(MOST).filter_map(event).collect()
}

fn event(notification: Element<'_, '_>) -> Option<CameraEvent> {
    let topic = shown(notification.text("Topic")?);
    // WS-Notification's, with ONVIF's in it.
    let message = notification.all("Message").last()?;
    let attribute = |name| message.attribute(name).map(shown);
    Some(CameraEvent {
        topic,
        operation: attribute("PropertyOperation"),
        time: attribute("UtcTime"),
        source: items(message, "Source"),
        data: items(message, "Data"),
    })
}

fn items(message: Element<'_, '_>, part: &str) -> Vec<(String, String)> {
    let Some(part) = message.first(part) else { return Vec::new() };
    let item = |item: Element<'_, '_>| Some((shown(item.attribute("Name")?), shown(item.attribute("Value")?)));
    part.all("SimpleItem").take(MOST).filter_map(item).collect()
}

fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOTION: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<tt:MetadataStream xmlns:tt="http://www.onvif.org/ver10/schema" xmlns:wsnt="http://docs.oasis-open.org/wsn/b-2" xmlns:tns1="http://www.onvif.org/ver10/topics">
<tt:Event><wsnt:NotificationMessage>
<wsnt:Topic Dialect="http://www.onvif.org/ver10/tev/topicExpression/ConcreteSet">tns1:RuleEngine/CellMotionDetector/Motion</wsnt:Topic>
<wsnt:Message><tt:Message UtcTime="2026-12-01T10:00:00Z" PropertyOperation="Changed">
<tt:Source><tt:SimpleItem Name="VideoSourceConfigurationToken" Value="1"/><tt:SimpleItem Name="Rule" Value="MyMotion"/></tt:Source>
<tt:Data><tt:SimpleItem Name="IsMotion" Value="true"/></tt:Data>
</tt:Message></wsnt:Message></wsnt:NotificationMessage></tt:Event></tt:MetadataStream>"#;

    #[test]
    fn motion_is_read() {
        let events = read(MOTION.as_bytes());
        let [event] = &events[..] else { panic!("{events:?}") };
        assert_eq!((event.kind(), event.is_active()), (Some("motion"), Some(true)));
        assert_eq!(
            (event.operation.as_deref(), event.time.as_deref()),
            (Some("Changed"), Some("2026-12-01T10:00:00Z"))
        );
        assert_eq!(event.source[1], ("Rule".to_owned(), "MyMotion".to_owned()));
        assert_eq!(event.data, [("IsMotion".to_owned(), "true".to_owned())]);
    }

    #[test]
    fn a_line_is_crossed_once_and_has_no_end() {
        let crossed =
            MOTION.replace("CellMotionDetector/Motion", "LineDetector/Crossed").replace("IsMotion", "ObjectId");
        let events = read(crossed.as_bytes());
        assert_eq!((events[0].kind(), events[0].is_active()), (Some("line-crossed"), None));
    }

    #[test]
    fn what_is_none_is_passed_over() {
        for text in ["", "<a/>", "<tt:MetadataStream", "\u{0}", "<MetadataStream><VideoAnalytics/></MetadataStream>"] {
            assert_eq!(read(text.as_bytes()), [], "{text}");
        }
        assert_eq!(read(&[0xff, 0xfe]), []);
        let long = MOTION.replace("MyMotion", &"x".repeat(LONGEST));
        assert_eq!(read(long.as_bytes()), []);
    }
}
