//! Changes of some fields of a message: those that an update mask names, or
//! without one those that are set (AIP-134, AIP-161).

use prost_types::FieldMask;
use tonic::Status;

use super::violations::Violations;

/// A change under way. Whatever is wrong with it is collected.
#[derive(Debug)]
pub(super) struct Update<'a> {
    message: &'static str,
    mask: &'a [String],
    violations: Violations,
}

impl<'a> Update<'a> {
    /// A change of a field `message` that has these `fields`.
    pub(super) fn new(message: &'static str, fields: &[&str], mask: Option<&'a FieldMask>) -> Self {
        let mask = mask.map_or(&[][..], |mask| &mask.paths);
        let mut violations = Violations::default();
        for path in mask.iter().filter(|path| *path != "*") {
            if !fields.contains(&path.as_str()) {
                let problem = format!("unknown path {path:?}, there are: {}", fields.join(", "));
                violations.add("update_mask", problem);
            }
        }
        Self {
            message,
            mask,
            violations,
        }
    }

    /// Whether the mask names the field.
    pub(super) fn names(&self, field: &str) -> bool {
        self.mask.iter().any(|path| path == field)
    }

    /// The new value of a field, if it is to change and can have this one.
    pub(super) fn field<T, U>(
        &mut self,
        field: &str,
        value: Option<T>,
        check: impl FnOnce(T) -> Result<U, String>,
    ) -> Option<U> {
        let is_named = self.mask.iter().any(|path| path == field || path == "*");
        let path = || format!("{}.{field}", self.message);
        match value {
            Some(value) if is_named || self.mask.is_empty() => check(value)
                .map_err(|problem| self.violations.add(path(), problem))
                .ok(),
            None if is_named && !self.mask.iter().any(|path| path == "*") => {
                self.violations
                    .add(path(), "has to be set, as update_mask names it");
                None
            }
            _ => None,
        }
    }

    /// The error, if anything is wrong.
    pub(super) fn finish(self) -> Result<(), Status> {
        self.violations.into_result()
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn changed(
        paths: &[&str],
        open: Option<u32>,
        strict: Option<u32>,
    ) -> Result<[Option<u32>; 2], Status> {
        let mask = FieldMask {
            paths: paths.iter().map(|&path| path.to_owned()).collect(),
        };
        let mut update = Update::new("intervals", &["open", "strict"], Some(&mask));
        let check = |value| {
            if value < 10 {
                Ok(value)
            } else {
                Err("is too much".to_owned())
            }
        };
        let changed = [
            update.field("open", open, check),
            update.field("strict", strict, check),
        ];
        update.finish().map(|()| changed)
    }

    fn problem(result: Result<[Option<u32>; 2], Status>) -> String {
        let status = result.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        status.message().to_owned()
    }

    #[test]
    fn the_mask_says_what_changes() {
        assert_eq!(changed(&[], Some(1), None).unwrap(), [Some(1), None]);
        assert_eq!(
            changed(&["strict"], Some(1), Some(2)).unwrap(),
            [None, Some(2)]
        );
        assert_eq!(changed(&["*"], Some(1), None).unwrap(), [Some(1), None]);
    }

    #[test]
    fn everything_wrong_is_named() {
        let wrong = problem(changed(&[], Some(10), Some(11)));
        assert_eq!(
            wrong,
            "intervals.open: is too much; intervals.strict: is too much"
        );
        let wrong = problem(changed(&["closed"], None, None));
        assert_eq!(
            wrong,
            "update_mask: unknown path \"closed\", there are: open, strict"
        );
        let wrong = problem(changed(&["open"], None, None));
        assert_eq!(
            wrong,
            "intervals.open: has to be set, as update_mask names it"
        );
    }

    #[test]
    fn what_does_not_change_is_not_checked() {
        assert_eq!(
            changed(&["open"], Some(1), Some(99)).unwrap(),
            [Some(1), None]
        );
    }
}
