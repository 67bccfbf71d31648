//! The plugin `IAMPolicyGenerator`: a ServiceAccount that stands for an account of a cloud.

use crate::BuildError;
use crate::RepoPath;
use crate::field::{Field, Place};
use crate::origin::Origin;
use crate::resource::Resource;
use crate::yaml::Node;

#[derive(Clone, Debug, Default)]
pub(crate) struct Policy {
    cloud: String,
    name: String,
    namespace: String,
    account: String,
    project: String,
    place: Place,
}

impl Policy {
    pub(crate) fn read(root: &Field<'_>) -> Result<Self, BuildError> {
        let mut policy = Self { place: root.place(), ..Self::default() };
        for (name, field) in root.fields(&["cloud", "kubernetesService", "serviceAccount"])? {
            match name {
                "cloud" => policy.cloud = field.string()?,
                "kubernetesService" => {
                    for (name, field) in field.fields(&["name", "namespace"])? {
                        let to = if name == "name" { &mut policy.name } else { &mut policy.namespace };
                        *to = field.string()?;
                    }
                }
                _ => {
                    for (name, field) in field.fields(&["name", "projectId"])? {
                        let to = if name == "name" { &mut policy.account } else { &mut policy.project };
                        *to = field.string()?;
                    }
                }
            }
        }
        Ok(policy)
    }

    pub(crate) fn make(&self, file: &RepoPath, origin: Option<Origin>) -> Result<Resource, BuildError> {
        if self.cloud != "gke" {
            return Err(self.place.error_with_hint(format!("the cloud {:?} is not known", self.cloud), "use gke"));
        }
        let mut annotations = Node::mapping();
        let account = format!("{}@{}.iam.gserviceaccount.com", self.account, self.project);
        annotations.set("iam.gke.io/gcp-service-account", Node::string(account));
        let mut metadata = Node::mapping();
        metadata.set("annotations", annotations);
        metadata.set("name", Node::plain(self.name.as_str()));
        if !self.namespace.is_empty() {
            metadata.set("namespace", Node::plain(self.namespace.as_str()));
        }
        let mut node = Node::mapping();
        node.set("apiVersion", Node::plain("v1"));
        node.set("kind", Node::plain("ServiceAccount"));
        node.set("metadata", metadata);
        let mut made = Resource::new(node, file);
        made.place = self.place.clone();
        made.origin = origin;
        Ok(made)
    }
}
