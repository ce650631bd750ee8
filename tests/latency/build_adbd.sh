#!/usr/bin/env bash
# Builds Android's adbd from Debian's source package, for the tests that need a real one.
# Usage: build_adbd.sh OUTPUT-FOLDER   leaves OUTPUT-FOLDER/adbd, which listens on loopback only.
# Needs Debian (or a derivative with the same package), root for apt-get, and about 20 s of one core.
set -euo pipefail
out="$(mkdir -p "$1" && cd "$1" && pwd)"
[ -x "$out/adbd" ] && { echo "$out/adbd is there already"; exit 0; }
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# The source package, from wherever this machine gets its packages, through a list that is gone afterwards.
mkdir -p "$work/parts"
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
  [ -f "$file" ] && sed -n 's/^deb /deb-src /p' "$file" >"$work/parts/$(basename "$file" .list).list"
done
for file in /etc/apt/sources.list.d/*.sources; do
  [ -f "$file" ] && sed 's/^Types:.*/Types: deb-src/' "$file" >"$work/parts/$(basename "$file")"
done
apt_source=(-o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$work/parts"
            -o Dir::State::lists="$work/lists" -o APT::Sandbox::User=root)
mkdir -p "$work/lists/partial"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends g++ dpkg-dev \
  android-libbase-dev android-libcutils-dev android-liblog-dev android-libboringssl-dev \
  libusb-1.0-0-dev libcap-dev >/dev/null
apt-get "${apt_source[@]}" update -qq
(cd "$work" && apt-get "${apt_source[@]}" source -qq android-platform-tools >/dev/null)

cd "$work"/android-platform-tools-*/
# As shipped it listens on every address; tests must not open this machine to the network.
sed -i 's/network_inaddr_any_server(port, SOCK_STREAM, error)/network_loopback_server(port, SOCK_STREAM, error, true)/' \
  system/core/adb/socket_spec.cpp
sed -i '/"vsock:%d", port)/d' system/core/adb/daemon/main.cpp  # the other one is for the default port
grep -q 'network_loopback_server(port, SOCK_STREAM, error, true)' system/core/adb/socket_spec.cpp

cat >"$work/force.h" <<'HEADER'
#ifdef __cplusplus
#include <atomic>
#include <optional>
#include <android-base/thread_annotations.h>  // its annotations are for clang alone
#undef EXCLUDES
#undef REQUIRES
#define EXCLUDES(...)
#define REQUIRES(...)
#endif
HEADER
flags=(-O1 -std=gnu++2a -D_GNU_SOURCE -DADB_HOST=0 -DALLOW_ADBD_ROOT=0 -DALLOW_ADBD_DISABLE_VERITY=0
       '-DPLATFORM_TOOLS_VERSION="29.0.6"' '-DADB_VERSION="29.0.6-host"' -fno-exceptions -w
       -include "$work/force.h" -I/usr/include/android)
for folder in adb adb/daemon/include adb/adbconnection/include base/include include libasyncio/include \
              diagnose_usb/include libcrypto_utils/include libcutils/include; do
  flags+=(-I"system/core/$folder")
done
flags+=(-Iframeworks/native/libs/adbd_auth/include)

sources=()
for file in adb adb_io adb_listeners adb_trace adb_unique_fd adb_utils fdevent/fdevent fdevent/fdevent_poll \
            fdevent/fdevent_epoll services sockets socket_spec sysdeps/errno transport transport_fd \
            transport_local transport_usb types sysdeps_unix sysdeps/posix/network daemon/auth \
            daemon/jdwp_service daemon/usb_dummy daemon/file_sync_service daemon/services \
            daemon/shell_service shell_service_protocol daemon/main; do
  sources+=("system/core/adb/$file.cpp")
done
sources+=(system/core/adb/adbconnection/*server*.cpp system/core/libasyncio/AsyncIO.cpp
          frameworks/native/libs/adbd_auth/adbd_auth.cpp system/core/diagnose_usb/diagnose_usb.cpp)
objects="$work/objects"
mkdir "$objects"
compile() { g++ "${flags[@]}" -c "$1" -o "$objects/$(echo "$1" | tr / _).o"; }
running=0
for file in "${sources[@]}"; do
  compile "$file" &
  running=$((running + 1))
  if [ "$running" -ge "$(nproc)" ]; then wait -n; running=$((running - 1)); fi
done
while [ "$running" -gt 0 ]; do wait -n; running=$((running - 1)); done
gcc -O1 -D_GNU_SOURCE -w -I/usr/include/android -Isystem/core/libcrypto_utils/include \
  -c system/core/libcrypto_utils/android_pubkey.c -o "$objects/pubkey.o"
libraries="/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH)/android"
g++ "$objects"/*.o -L"$libraries" -Wl,-rpath,"$libraries" \
  -lbase -lcutils -llog -lcrypto -lpthread -lresolv -lutil -lcap -o "$out/adbd.part"
mv "$out/adbd.part" "$out/adbd"
echo "built $out/adbd"
