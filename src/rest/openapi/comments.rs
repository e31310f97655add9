//! The comments of the protos, which are the reference: found by the place of what they stand before.

use std::collections::HashMap;

use prost_reflect::{
    DescriptorPool, FieldDescriptor, MessageDescriptor, MethodDescriptor, ServiceDescriptor,
};

/// Comments by file and place in it.
#[derive(Debug, Default)]
pub(super) struct Comments(HashMap<(String, Vec<i32>), String>);

impl Comments {
    /// Those of every file in a pool.
    pub(super) fn of(pool: &DescriptorPool) -> Self {
        let mut comments = HashMap::new();
        for file in pool.files() {
            let info = file.file_descriptor_proto().source_code_info.as_ref();
            for location in info.map(|info| info.location.as_slice()).unwrap_or_default() {
                let text = location.leading_comments.as_deref().map(prose).unwrap_or_default();
                if !text.is_empty() {
                    comments.insert((file.name().to_owned(), location.path.clone()), text);
                }
            }
        }
        Self(comments)
    }

    pub(super) fn of_method(&self, method: &MethodDescriptor) -> String {
        self.find(method.parent_file().name(), method.path())
    }

    pub(super) fn of_service(&self, service: &ServiceDescriptor) -> String {
        self.find(service.parent_file().name(), service.path())
    }

    pub(super) fn of_message(&self, message: &MessageDescriptor) -> String {
        self.find(message.parent_file().name(), message.path())
    }

    pub(super) fn of_field(&self, field: &FieldDescriptor) -> String {
        self.find(field.parent_file().name(), field.path())
    }

    fn find(&self, file: &str, path: &[i32]) -> String {
        self.0.get(&(file.to_owned(), path.to_vec())).cloned().unwrap_or_default()
    }
}

/// A comment as running text: its lines joined, its paragraphs kept, notes for the linter left out.
fn prose(comment: &str) -> String {
    let mut paragraphs = vec![Vec::new()];
    for line in comment.lines().map(str::trim) {
        if line.is_empty() {
            paragraphs.push(Vec::new());
        } else if !line.starts_with("buf:lint:") {
            paragraphs.last_mut().expect("begun with one").push(line);
        }
    }
    let paragraphs = paragraphs.into_iter().filter(|lines| !lines.is_empty()).map(|lines| lines.join(" "));
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_joined_and_paragraphs_kept() {
        assert_eq!(prose(" One\n two.\n buf:lint:ignore X\n\n Three.\n"), "One two.\n\nThree.");
        assert_eq!(prose("\n\n"), "");
    }
}
