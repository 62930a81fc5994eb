//! The resource: the common attributes of all traces and metrics.

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::TelemetryResourceDetector;

use super::pairs::{self, InvalidPair};
use super::settings::Settings;

/// The default name of the service.
const SERVICE_NAME: &str = "snowflake-broker";

/// One run of the program.
#[derive(Clone, Debug)]
pub struct Instance {
    /// The version of the program.
    pub version: &'static str,
    /// Random bytes drawn at each start, which distinguish brokers with the same name,
    /// and runs of one broker, without the name of the machine.
    pub random: [u8; 16],
}

impl Instance {
    /// The random bytes as a UUID (RFC 9562, version 4), as the conventions demand.
    fn id(&self) -> String {
        let mut bytes = self.random;
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let digits = hex::encode(bytes);
        let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &digits[part]);
        parts.join("-")
    }
}

/// The resource attributes: our defaults, overridden by the settings.
pub(super) fn resource(settings: &Settings, instance: &Instance) -> Result<Resource, InvalidPair> {
    let given = pairs::parse(settings.resource_attributes.as_deref().unwrap_or_default())?
        .into_iter()
        .map(|(name, value)| KeyValue::new(name, value));
    let own = [
        KeyValue::new("service.name", SERVICE_NAME),
        KeyValue::new("service.version", instance.version),
        KeyValue::new("service.instance.id", instance.id()),
    ];
    let named = settings
        .service_name
        .clone()
        .map(|name| KeyValue::new("service.name", name));
    Ok(Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attributes(own)
        .with_attributes(given)
        .with_attributes(named)
        .build())
}

#[cfg(test)]
mod tests {
    use opentelemetry::Key;

    use super::*;

    const INSTANCE: Instance = Instance {
        version: "1.2.3",
        random: [0xff; 16],
    };

    fn attribute(settings: &Settings, key: &'static str) -> String {
        let resource = resource(settings, &INSTANCE).unwrap();
        resource.get(&Key::from(key)).unwrap().to_string()
    }

    #[test]
    fn it_names_the_service_its_release_and_this_run() {
        let settings = Settings::default();
        assert_eq!(attribute(&settings, "service.name"), "snowflake-broker");
        assert_eq!(attribute(&settings, "service.version"), "1.2.3");
        assert_eq!(
            attribute(&settings, "service.instance.id"),
            "ffffffff-ffff-4fff-bfff-ffffffffffff"
        );
        assert_eq!(attribute(&settings, "telemetry.sdk.language"), "rust");
    }

    #[test]
    fn what_is_set_goes_over_what_is_known() {
        let mut settings = Settings {
            resource_attributes: Some("service.name=a,deployment.environment.name=test".to_owned()),
            ..Settings::default()
        };
        assert_eq!(attribute(&settings, "service.name"), "a");
        assert_eq!(attribute(&settings, "deployment.environment.name"), "test");
        settings.service_name = Some("b".to_owned());
        assert_eq!(attribute(&settings, "service.name"), "b");
    }
}
