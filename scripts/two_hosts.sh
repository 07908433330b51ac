#!/bin/bash
# Two hosts on one Linux machine, as network namespaces with a cable between them (docs/scaling.md). Needs root.
#
#   scripts/two_hosts.sh up               create the hosts passerelle-0 and passerelle-1, 10.28.0.1 and 10.28.0.2
#   scripts/two_hosts.sh on N COMMAND…    run a command on host N, with the variables of a training on two machines
#   scripts/two_hosts.sh pull             pull the cable
#   scripts/two_hosts.sh plug             plug it in again
#   scripts/two_hosts.sh down             remove both hosts
set -eu

case ${1:-} in
up)
    ip link add cable0 type veth peer name cable1
    for n in 0 1; do
        ip netns add passerelle-$n
        ip link set cable$n netns passerelle-$n
        ip -n passerelle-$n address add 10.28.0.$((n + 1))/24 dev cable$n
        ip -n passerelle-$n link set cable$n up
        ip -n passerelle-$n link set lo up
    done
    ;;
on)
    n=$2
    shift 2
    exec ip netns exec passerelle-"$n" unshare --uts sh -c 'hostname "$0" && exec "$@"' passerelle-"$n" \
        env NODE_RANK="$n" MASTER_ADDR=10.28.0.1 MASTER_PORT=29500 GLOO_SOCKET_IFNAME=cable"$n" "$@"
    ;;
pull) ip -n passerelle-1 link set cable1 down ;;
plug) ip -n passerelle-1 link set cable1 up ;;
down) for n in 0 1; do ip netns delete passerelle-$n; done ;;
*) sed -n 's/^# \{0,1\}//; 2,9p' "$0" >&2; exit 2 ;;
esac
