//! What the agent and its children can reach when the manager's data is hidden from them.
//!
//! A hook of the clone is the child: it is run by Git, which the agent started.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::environment::Environment;
use super::git_server::GitServer;
use crate::control_plane::skipped;

#[tokio::test]
async fn hidden_directories_are_out_of_reach_and_the_volumes_are_not() {
    let server = GitServer::start(None).await;
    server.repository("checkout", &["main"]);
    let mut environment = Environment::new();
    // As the local runtime has it: the root and the volumes lie in the data directory that is hidden.
    let data = environment.directory().join("data");
    let root = environment.root();
    for volume in ["workspace", "config"] {
        let target = data.join("volumes").join(volume);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::rename(root.join(volume), &target).unwrap();
        symlink(&target, root.join(volume)).unwrap();
    }
    fs::write(data.join("age.key"), "the manager's own").unwrap();
    fs::create_dir_all(data.join("volumes/neighbour")).unwrap();
    fs::write(data.join("volumes/neighbour/file"), "another project's").unwrap();
    // A way around that somebody may have left: beside the data, and in a volume.
    symlink(&data, environment.directory().join("around")).unwrap();
    symlink(data.join("age.key"), data.join("volumes/workspace/key")).unwrap();
    // Not below a directory for temporary files, which everybody may write.
    let target =
        [Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned(), Path::new(env!("CARGO_MANIFEST_DIR")).join("target")]
            .into_iter()
            .find(|directory| !directory.starts_with(std::env::temp_dir()))
            .expect("a checkout or a target directory that is not below the one for temporary files");
    fs::create_dir_all(&target).unwrap();
    let outside = tempfile::NamedTempFile::new_in(target).unwrap();
    fs::write(&outside, "of this user").unwrap();

    let template = root.join("config/template/hooks");
    fs::create_dir_all(&template).unwrap();
    let hook = template.join("post-checkout");
    let try_all = format!(
        "#!/bin/sh\nexec > {config}/result 2>&1\n\
         try() {{ name=$1; shift; if \"$@\" > /dev/null 2>&1; then echo \"$name yes\"; else echo \"$name no\"; fi; }}\n\
         try key cat {data}/age.key\ntry list ls {data}\ntry around cat {dir}/around/age.key\n\
         try link cat {config}/../workspace/key\ntry neighbour cat {data}/volumes/neighbour/file\n\
         try neighbours ls {data}/volumes\ntry environ cat /proc/{pid}/environ\ntry signal kill -0 {pid}\n\
         try outside cat {outside}\ntry outside-write sh -c 'echo x >> {outside}'\n\
         try root-write touch {root}/new\ntry own-secrets ls {root}/etc/claude-manager/agent-keys\n\
         try workspace touch {root}/workspace/new\ntry config touch {root}/config/new\ntry tmp touch {root}/tmp/new\n\
         try null sh -c 'echo x > /dev/null'\ntry program /bin/true\n",
        config = root.join("config").display(),
        data = data.display(),
        dir = environment.directory().display(),
        outside = outside.path().display(),
        root = root.display(),
        pid = std::process::id(),
    );
    fs::write(&hook, try_all).unwrap();
    fs::set_permissions(&hook, PermissionsExt::from_mode(0o755)).unwrap();
    let config = format!("[init]\n\ttemplateDir = {}\n", root.join("config/template").display());
    fs::write(root.join("config/.gitconfig"), config).unwrap();

    let mut command = environment.command(&[("GIT_REPOSITORY", &server.url("checkout"))]);
    command.arg("--hide").arg(&data);
    environment.spawn(command);
    environment.until(|status| status["ready"] == true).await;

    if environment.log().contains("no Landlock") {
        return skipped("this kernel has no Landlock");
    }
    let result = fs::read_to_string(root.join("config/result")).unwrap();
    let expected = "key no\nlist no\naround no\nlink no\nneighbour no\nneighbours no\nenviron no\nsignal no\n\
                    outside yes\noutside-write no\nroot-write no\nown-secrets yes\n\
                    workspace yes\nconfig yes\ntmp yes\nnull yes\nprogram yes\n";
    assert_eq!(result, expected, "{}", environment.log());
}

#[tokio::test]
async fn what_cannot_be_hidden_is_an_error_and_not_left_open() {
    let environment = Environment::new();
    for hidden in ["/", "/there/is/nothing"] {
        let output = environment.command(&[]).args(["--hide", hidden]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("cannot be hidden"), "{said}");
    }
}
