//go:build peers

// Package helm3 names the command that this module builds, so that go.mod keeps it.
package helm3

import _ "helm.sh/helm/v3/cmd/helm"
