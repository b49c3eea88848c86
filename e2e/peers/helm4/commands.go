//go:build peers

// Package helm4 names the command that this module builds, so that go.mod keeps it.
package helm4

import _ "helm.sh/helm/v4/cmd/helm"
