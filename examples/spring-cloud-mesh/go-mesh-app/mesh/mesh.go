// Package mesh wraps the few functions of libproxyless that this example needs.
package mesh

// In this checkout the library is where `make build` leaves it. After `make install` one line stands for both:
//
//	#cgo pkg-config: proxyless

/*
#cgo CFLAGS: -I${SRCDIR}/../../../../ffi-c/include
#cgo LDFLAGS: -L${SRCDIR}/../../../../target/quick -lproxyless -Wl,-rpath,${SRCDIR}/../../../../target/quick
#include <proxyless.h>
#include <stdlib.h>
*/
import "C"

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"unsafe"
)

// ErrClosed is returned by calls on a client that was closed.
var ErrClosed = errors.New("the mesh client is closed")

// Client is a handle to the control plane. Any number of goroutines may use it.
type Client struct {
	// Held for reading by calls in flight: the handle is freed when there are none.
	inUse  sync.RWMutex
	handle *C.pxl_client

	closed  chan struct{}
	closing sync.Once
	follows sync.WaitGroup

	mutex   sync.Mutex
	changed chan struct{}
}

// Service is a watched target.
type Service struct {
	client *Client
	name   string
	turn   atomic.Uint64
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
	client := &Client{handle: handle, closed: make(chan struct{}), changed: make(chan struct{})}
	client.follows.Add(1)
	go client.follow()
	return client, nil
}

// Close ends every wait with ErrClosed, then gives the handle back.
func (c *Client) Close() {
	c.closing.Do(func() {
		close(c.closed)
		C.pxl_client_shutdown(c.handle)
		c.follows.Wait()
		c.inUse.Lock()
		defer c.inUse.Unlock()
		C.pxl_client_free(c.handle)
		c.handle = nil
	})
}

// Watch starts watching a target.
func (c *Client) Watch(name string) (*Service, error) {
	release, err := c.use()
	if err != nil {
		return nil, err
	}
	defer release()
	target, free := text(name)
	defer free()
	var failed C.pxl_error
	if status := C.pxl_client_watch(c.handle, target, &failed); status != C.PXL_OK {
		return nil, failure(status, &failed)
	}
	service := &Service{client: c, name: name}
	// A process that starts at 0 calls the same endpoint first as every other one.
	service.turn.Store(rand.Uint64())
	return service, nil
}

// follow wakes those who wait, whenever something has changed. The one blocking call is made here, on one thread.
func (c *Client) follow() {
	defer c.follows.Done()
	var epoch C.uint64_t
	for C.pxl_client_wait(c.handle, epoch, -1, &epoch, nil) == C.PXL_OK {
		c.mutex.Lock()
		close(c.changed)
		c.changed = make(chan struct{})
		c.mutex.Unlock()
	}
}

// use keeps the handle alive until the returned function is called.
func (c *Client) use() (func(), error) {
	c.inUse.RLock()
	select {
	case <-c.closed:
		c.inUse.RUnlock()
		return nil, ErrClosed
	default:
		return c.inUse.RUnlock, nil
	}
}

func (c *Client) next() <-chan struct{} {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.changed
}

// Wait returns the next address by weight, and waits for one: until the context ends or the client is closed.
func (s *Service) Wait(ctx context.Context) (string, error) {
	for {
		changed := s.client.next()
		address, err := s.Pick()
		if err == nil || errors.Is(err, ErrClosed) {
			return address, err
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-s.client.closed:
			return "", ErrClosed
		case <-changed:
		}
	}
}

// Pick returns the next address by weight, of what is known now.
func (s *Service) Pick() (string, error) {
	release, err := s.client.use()
	if err != nil {
		return "", err
	}
	defer release()
	var failed C.pxl_error
	var snapshot *C.pxl_snapshot
	if status := C.pxl_client_snapshot(s.client.handle, &snapshot, &failed); status != C.PXL_OK {
		return "", failure(status, &failed)
	}
	// Everything that is read from the snapshot is borrowed, and copied before this function ends.
	defer C.pxl_snapshot_free(snapshot)
	name, free := text(s.name)
	defer free()
	var target C.pxl_target
	if status := C.pxl_snapshot_target(snapshot, name, &target, &failed); status != C.PXL_OK {
		return "", failure(status, &failed)
	}
	if target.state != C.PXL_STATE_READY || target.endpoint_count == 0 {
		return "", fmt.Errorf("%s: no endpoints (state %d) %s", s.name, target.state, copied(target.detail))
	}
	endpoint := choose(&target, s.turn.Add(1))
	if endpoint.family != 0 {
		ip := unsafe.Slice((*byte)(unsafe.Pointer(&endpoint.ip[0])), 16)
		if endpoint.family == 4 {
			ip = ip[:4]
		}
		return join(net.IP(ip).String(), endpoint), nil
	}
	// It has a host name instead of an address; whoever dials resolves it.
	var extension C.pxl_extension
	if status := C.pxl_snapshot_extension(snapshot, name, endpoint.extension, &extension, &failed); status != C.PXL_OK {
		return "", failure(status, &failed)
	}
	return join(copied(extension.hostname), endpoint), nil
}

func choose(target *C.pxl_target, turn uint64) *C.pxl_endpoint {
	endpoints := unsafe.Slice(target.endpoints, int(target.endpoint_count))
	if target.order_count == 0 {
		return &endpoints[turn%uint64(len(endpoints))]
	}
	order := unsafe.Slice(target.order, int(target.order_count))
	return &endpoints[order[turn%uint64(len(order))]]
}

func join(host string, endpoint *C.pxl_endpoint) string {
	return net.JoinHostPort(host, strconv.Itoa(int(endpoint.port)))
}

func text(s string) (C.pxl_str, func()) {
	bytes := C.CString(s)
	return C.pxl_str{ptr: bytes, len: C.size_t(len(s))}, func() { C.free(unsafe.Pointer(bytes)) }
}

func copied(s C.pxl_str) string {
	return C.GoStringN(s.ptr, C.int(s.len))
}

func failure(status C.pxl_status, err *C.pxl_error) error {
	return fmt.Errorf("libproxyless %d: %s", int(status), C.GoString(&err.message[0]))
}
