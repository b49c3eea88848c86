//go:build peers

// Package etcd names the command that this module builds, so that go.mod keeps it.
package etcd

import _ "go.etcd.io/etcd/server/v3"
