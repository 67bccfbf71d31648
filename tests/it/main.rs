//! Integration tests: one binary, one file for each subject.

mod kustomize;
