#!/usr/bin/busybox sh
# What a guest's init runs: sets up what a program expects of a Linux system, and then runs the
# commands that come through the channel "fwlab".
export PATH=/usr/sbin:/usr/bin:/usr/lib/busybox HOME=/root
/usr/bin/busybox --install -s /usr/lib/busybox
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm /run/lock /tmp /root /host
mount -t devpts devpts /dev/pts
for folder in /dev/shm /run /tmp; do mount -t tmpfs tmpfs $folder; done
mkdir -p /run/lock
ln -sf /proc/self/fd /dev/fd
ln -sf /proc/mounts /etc/mtab
. /etc/fwlab/settings
hostname "$name"
ip link set lo up

give_up() {
  echo "fwlab: $*"
  poweroff -f
}

modprobe -a virtio_pci virtio_console 9pnet_virtio 9p || give_up "no channel to the host"
mount -t 9p -o trans=virtio,version=9p2000.L,msize=131072 host /host || give_up "no /host"
if [ "$address" ]; then
  modprobe virtio_net
  ip address add "$address/24" broadcast + dev eth0
  ip link set eth0 up
  # The hub learns from it that this guest is there.
  arping -q -c 1 -U -I eth0 "$address"
fi
while read -r module; do
  # shellcheck disable=SC2086 # what follows the name are parameters
  modprobe $module || give_up "modprobe $module failed"
done < /etc/fwlab/modules
[ ! -d /sys/kernel/config ] || mount -t configfs config /sys/kernel/config

for port in /sys/class/virtio-ports/*; do
  [ "$(cat "$port/name")" != fwlab ] || channel=/dev/${port##*/}
done
# What a shell runs in the background ignores interruptions, and so does all that it starts.
! /usr/bin/env --default-signal=INT true 2> /dev/null || interruptible="/usr/bin/env --default-signal=INT,QUIT"
exec 3<> "$channel" || give_up "no channel"
echo ready >&3
while read -r number <&3; do
  [ "$number" != off ] || break
  {
    # shellcheck disable=SC2086 # it is a command, or nothing
    $interruptible /usr/bin/sh "/host/run/$number.sh" < /dev/null > "/host/run/$number.out" 2>&1 3>&-
    echo "done $number $?" >&3
  } &
done
sync
poweroff -f
