//go:build tools

// SPDX-License-Identifier: Apache-2.0

package main

// What the tests run besides istiod; named here so that its versions are pinned.
import (
	_ "github.com/KimMachineGun/automemlimit"
	_ "istio.io/istio/pilot/cmd/pilot-agent/app"
)
