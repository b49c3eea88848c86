//go:build peers

// Package kubernetes names the commands that this module builds, so that go.mod keeps them.
package kubernetes

import (
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
