// SPDX-License-Identifier: Apache-2.0

// Command xdsclient is a gRPC client that finds a service through xDS, as its bootstrap says, and prints the state of its channel.
package main

import (
	"context"
	"fmt"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/xds"
)

func main() {
	connection, err := grpc.NewClient(os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fmt.Fprintln(os.Stderr, "xdsclient:", err)
		os.Exit(1)
	}
	connection.Connect()
	for {
		state := connection.GetState()
		fmt.Println(state)
		connection.WaitForStateChange(context.Background(), state)
	}
}
