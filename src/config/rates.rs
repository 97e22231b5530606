//! How much may callers have?

use std::time::Duration;

use super::reader::Section;
use crate::gate::limits::{Rate, Settings};

pub(super) fn read(section: Section<'_>) -> Settings {
    let default = Settings::default();
    let rate = |name, burst_name, default: Option<Rate>| {
        let (least, most) = default.map_or((0, 0), |rate| (rate.per_second.get(), rate.burst.get()));
        let per_second = section.or(name, least);
        let burst = section.or(burst_name, most.max(per_second));
        if per_second > 0 && burst < per_second {
            section.fault(burst_name, "is less than what may come in a second", None);
        }
        Rate::new(per_second, burst)
    };
    let settings = Settings {
        address: rate("address", "address_burst", default.address),
        person: rate("person", "person_burst", default.person),
        person_at_once: section.or("person_at_once", default.person_at_once),
        at_once: section.or("at_once", default.at_once),
        wait: section.or("wait", default.wait),
    };
    if settings.at_once > 0 && settings.person_at_once > settings.at_once {
        section.fault("person_at_once", "is more than `rates.at_once`", None);
    }
    // The stock client waits two minutes for an answer (MLFLOW_HTTP_REQUEST_TIMEOUT).
    if settings.wait > Duration::from_mins(1) {
        section.fault("wait", "is longer than a minute: clients would take the server for dead", None);
    }
    section.finish();
    settings
}
