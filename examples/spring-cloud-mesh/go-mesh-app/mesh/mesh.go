// Package mesh wraps the few functions of libproxyless that this example needs.
package mesh

/*
#cgo CFLAGS: -I${SRCDIR}/../../../../ffi-c/include
#cgo LDFLAGS: ${SRCDIR}/../../../../target/quick/libproxyless.a -lpthread -ldl -lm
#include <proxyless.h>
#include <stdlib.h>
*/
import "C"

import (
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"unsafe"
)

// Client is a handle to the control plane. It lives as long as the process.
type Client struct {
	handle *C.pxl_client
}

// Service is a watched target.
type Service struct {
	client *Client
	name   string
	turn   atomic.Uint64
}

func text(s string) (C.pxl_str, func()) {
	bytes := C.CString(s)
	return C.pxl_str{ptr: bytes, len: C.size_t(len(s))}, func() { C.free(unsafe.Pointer(bytes)) }
}

func failure(status C.pxl_status, err *C.pxl_error) error {
	return fmt.Errorf("libproxyless %d: %s", int(status), C.GoString(&err.message[0]))
}

// Open opens a client; options it lacks come from the environment.
func Open(options string) (*Client, error) {
	document, free := text(options)
	defer free()
	var handle *C.pxl_client
	var err C.pxl_error
	if status := C.pxl_client_open(document, &handle, &err); status != C.PXL_OK {
		return nil, failure(status, &err)
	}
	return &Client{handle}, nil
}

// Watch starts watching a target.
func (c *Client) Watch(name string) (*Service, error) {
	target, free := text(name)
	defer free()
	var err C.pxl_error
	if status := C.pxl_client_watch(c.handle, target, &err); status != C.PXL_OK {
		return nil, failure(status, &err)
	}
	return &Service{client: c, name: name}, nil
}

// Pick returns the next address by weight.
func (s *Service) Pick() (string, error) {
	var err C.pxl_error
	var snapshot *C.pxl_snapshot
	if status := C.pxl_client_snapshot(s.client.handle, &snapshot, &err); status != C.PXL_OK {
		return "", failure(status, &err)
	}
	defer C.pxl_snapshot_free(snapshot)
	name, free := text(s.name)
	defer free()
	var target C.pxl_target
	if status := C.pxl_snapshot_target(snapshot, name, &target, &err); status != C.PXL_OK {
		return "", failure(status, &err)
	}
	if target.state != C.PXL_STATE_READY || target.endpoint_count == 0 {
		detail := C.GoStringN(target.detail.ptr, C.int(target.detail.len))
		return "", fmt.Errorf("%s: no endpoints (state %d) %s", s.name, target.state, detail)
	}
	// Everything behind the pointers is borrowed from the snapshot, which outlives this function.
	endpoints := unsafe.Slice(target.endpoints, int(target.endpoint_count))
	index := (s.turn.Add(1) - 1) % uint64(len(endpoints))
	if target.order_count > 0 {
		order := unsafe.Slice(target.order, int(target.order_count))
		index = uint64(order[(s.turn.Load()-1)%uint64(len(order))])
	}
	endpoint := endpoints[index]
	length := 4
	if endpoint.family == 6 {
		length = 16
	}
	ip := net.IP(C.GoBytes(unsafe.Pointer(&endpoint.ip[0]), C.int(length)))
	return net.JoinHostPort(ip.String(), strconv.Itoa(int(endpoint.port))), nil
}
