//! Log lines on standard output, and in files.
//!
//! Readable in development, JSON in production. Both forms carry the level as an upper-case word, so that
//! `grep ERROR` finds errors in either. The files have JSON always.

use std::io::IsTerminal;

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::config::{LogFormat, LogLevel, LogSettings};
use crate::log_files::LineWriter;

/// Sends the log of this process to standard output, and to `files` where there are some. Called once, by the program.
///
/// # Errors
/// When a subscriber is installed already.
pub fn install(files: Option<LineWriter>, settings: &LogSettings) -> Result<(), TryInitError> {
    let stdout = layer(settings, std::io::stdout, std::io::stdout().is_terminal());
    let json = LogSettings { format: LogFormat::Json, ..*settings };
    let files = files.map(|writer| layer(&json, writer, false));
    tracing_subscriber::registry().with(vec![stdout].into_iter().chain(files).collect::<Vec<_>>()).try_init()
}

/// The layer that writes lines to `writer` as the settings say.
fn layer<W>(settings: &LogSettings, writer: W, colours: bool) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::new(directives(settings.level));
    match settings.format {
        LogFormat::Json => tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .with_writer(writer)
            .with_filter(filter)
            .boxed(),
        LogFormat::Text => {
            tracing_subscriber::fmt::layer().with_ansi(colours).with_writer(writer).with_filter(filter).boxed()
        }
    }
}

/// The level is that of this program. Libraries stay at warnings: at `debug` they write more than the program does, and
/// an HTTP client's trace has headers with credentials in it.
const fn directives(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "warn,claude_manager=info",
        LogLevel::Debug => "warn,claude_manager=debug",
        LogLevel::Trace => "warn,claude_manager=trace",
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, level: LogLevel) -> String {
        let memory = Memory::default();
        let writer = memory.clone();
        let layer = layer(&LogSettings { format, level }, move || writer.clone(), false);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::error!(project = "checkout", "apply failed");
            tracing::info!("listening");
            tracing::info!(target: "hyper::client", "library chatter");
        });
        let bytes = memory.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn grep_finds_errors_in_both_formats_and_libraries_stay_quiet() {
        for format in [LogFormat::Json, LogFormat::Text] {
            let text = logged(format, LogLevel::Info);
            assert!(text.lines().any(|line| line.contains("ERROR") && line.contains("checkout")), "{text}");
            assert!(text.contains("listening"), "{text}");
            assert!(!text.contains("chatter"), "{text}");
        }
    }

    #[test]
    fn json_lines_are_json_and_the_level_filters() {
        let text = logged(LogFormat::Json, LogLevel::Error);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(lines[0]).unwrap();
        assert_eq!(line["level"], "ERROR");
        assert_eq!(line["message"], "apply failed");
    }
}
