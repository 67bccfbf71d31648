//! The program around the parts: settings, logging, wiring.

pub mod config;
pub mod telemetry;
