#!/bin/sh
# rootfs.sh DIRECTORY
# Copies what the manager needs beside its own program out of this Debian system into DIRECTORY: a shell with its tools
# (BusyBox), git, the SSH client, CA certificates, and the libraries of these. File by file, because Debian's package of git
# depends on Perl, which the manager never runs: the packages as a whole would be more than twice as large.
# Needs busybox-static, ca-certificates, git and openssh-client installed.
set -eu
root=$1

mkdir -p "$root"
for name in bin lib lib64 sbin; do
  mkdir -p "$root/usr/$name"
  ln -s "usr/$name" "$root/$name"
done

# Git. What is written in another language could not run, and what a person at a terminal or a mail program wants has no use.
cp -a --parents /usr/bin/git /usr/lib/git-core /usr/share/git-core/templates "$root"
grep -rlE '^#! ?/usr/bin/(perl|python|env)' "$root/usr/lib/git-core" | xargs -r rm -f
cd "$root/usr/lib/git-core"
rm -rf git-gui* git-imap-send git-instaweb mergetools scalar
cd /
for name in upload-pack receive-pack upload-archive; do ln -s git "$root/usr/bin/git-$name"; done

cp -a --parents /usr/bin/ssh /usr/bin/ssh-keygen /usr/bin/ssh-keyscan "$root"

# The libraries, under /usr as the links above have it.
find "$root/usr/bin" "$root/usr/lib/git-core" -type f -exec ldd {} + 2> /dev/null |
  awk '/=> \// { print $3 } /^[[:space:]]*\/.*\(0x/ { print $1 }' | sort -u > /tmp/libraries
while read -r file; do
  place=$root/usr/${file#/}
  case $file in /usr/*) place=$root$file ;; esac
  mkdir -p "$(dirname "$place")"
  cp -L "$file" "$place"
done < /tmp/libraries

cp -a /bin/busybox "$root/usr/bin/"
for applet in $(/bin/busybox --list); do
  [ -e "$root/usr/bin/$applet" ] || ln -s busybox "$root/usr/bin/$applet"
done

mkdir -p "$root/etc/ssl/certs"
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
cp -L /etc/os-release /etc/debian_version "$root/etc/"
# ssh does not run for a user without a name.
printf '%s\n' 'root:x:0:0:root:/:/sbin/nologin' 'claude-manager:x:1000:1000:Claude Manager:/app:/bin/sh' > "$root/etc/passwd"
printf '%s\n' 'root:x:0:' 'claude-manager:x:1000:' > "$root/etc/group"
echo 'hosts: files dns' > "$root/etc/nsswitch.conf"

# Scanners read from these which versions are inside; the licences come along.
mkdir -p "$root/var/lib/dpkg/status.d"
for file in /usr/bin/git /usr/bin/ssh /bin/busybox /usr/sbin/update-ca-certificates $(cat /tmp/libraries); do
  # A package names its file with or without /usr.
  dpkg -S "$file" 2> /dev/null || dpkg -S "/usr$file" 2> /dev/null || dpkg -S "${file#/usr}"
done | cut -d: -f1 | sort -u > /tmp/packages
while read -r package; do
  dpkg -s "$package" > "$root/var/lib/dpkg/status.d/$package"
  # A base without documentation may lack it.
  [ ! -e "/usr/share/doc/$package/copyright" ] || cp -L --parents "/usr/share/doc/$package/copyright" "$root"
done < /tmp/packages

mkdir -p -m 1777 "$root/tmp"
mkdir -p "$root/app/data" "$root/app/logs" "$root/app/backup/.ssh"
chmod 700 "$root/app/data" "$root/app/backup/.ssh"
chown -R 1000:1000 "$root/app"
