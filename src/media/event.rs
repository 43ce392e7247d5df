//! What a camera itself has noticed.

/// An event as ONVIF cameras tell it (Core Specification section 9.5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CameraEvent {
    /// Such as `tns1:RuleEngine/CellMotionDetector/Motion`.
    pub topic: String,
    /// `Initialized`, `Changed` or `Deleted`, of what is a state.
    pub operation: Option<String>,
    /// When, by the camera's clock, as it says it.
    pub time: Option<String>,
    /// Where: names and values.
    pub source: Vec<(String, String)>,
    /// What: names and values.
    pub data: Vec<(String, String)>,
}

impl CameraEvent {
    /// What it is about, where that is known here: `motion` or `line-crossed`.
    pub fn kind(&self) -> Option<&'static str> {
        let last = self.topic.rsplit('/').next().unwrap_or_default();
        match last {
            "Motion" | "MotionAlarm" => Some("motion"),
            "Crossed" => Some("line-crossed"),
            _ => None,
        }
    }

    /// Whether what it is about goes on now: of motion, which begins and ends.
    pub fn is_active(&self) -> Option<bool> {
        let state = self.data.iter().find(|(name, _)| matches!(name.as_str(), "IsMotion" | "State"));
        match state?.1.as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        }
    }
}
