package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"mailrow/deliver"
	"mailrow/internal/metrics"
	"mailrow/internal/systemd"
	"mailrow/poller"
	"mailrow/store/source"
)

// pollDaemon is how mailrow poll --watch goes on.
type pollDaemon struct {
	atOnce, idle int
	metrics      string
}

// statusEvery is how often the service manager hears how the sources do.
const statusEvery = 5 * time.Second

// watch goes on until SIGTERM or SIGINT, which is no failure. SIGHUP, which ends
// other commands, is not for ending it.
func (o *polling) watch(c *cobra.Command, d pollDaemon) error {
	ctx, ignore := signal.NotifyContext(context.WithoutCancel(c.Context()), syscall.SIGINT, syscall.SIGTERM)
	defer ignore()
	c.SetContext(ctx)
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	signaled := ctx
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	figures := &poller.Figures{}
	server := metrics.Server{
		Write:   func(page *metrics.Page) { writePollFigures(page, figures, o.Memory) },
		Healthy: func(context.Context) error { return figures.Healthy() },
	}
	if err := serveFigures(ctx, d.metrics, server, stop); err != nil {
		return err
	}
	go systemd.Watchdog(ctx, figures.Turned)
	go o.tellStatus(ctx, figures)
	stopping := make(chan struct{})
	context.AfterFunc(ctx, func() {
		defer close(stopping)
		o.notify(systemd.Stopping)
	})
	o.Watch(ctx, poller.Watch{
		AtOnce: d.atOnce, Idle: d.idle, Figures: figures,
		Reload: hup,
		Configure: func() (deliver.Config, error) {
			if err := systemd.NotifyReloading(); err != nil {
				o.warn(source.Source{}, err)
			}
			return deliver.ReadConfig(o.config)
		},
		Reloaded: func() { o.notify(systemd.Ready) },
		Done: func(s source.Source, count source.Count, err error) {
			if err != nil {
				o.warn(s, err)
			}
			if (count == source.Count{Seen: count.Seen}) {
				return
			}
			o.mu.Lock()
			defer o.mu.Unlock()
			if err := o.summary(s, count); err != nil {
				stop(err)
			}
		},
	})
	<-stopping // what the manager is to hear before it sees us end
	if signaled.Err() != nil {
		return nil
	}
	return context.Cause(ctx)
}

// serveFigures begins to answer a monitoring system, where a socket for it was asked
// for, and tells stop when it cannot go on.
func serveFigures(ctx context.Context, address string, server metrics.Server, stop context.CancelCauseFunc) error {
	if address == "" {
		return nil
	}
	l, err := metrics.Listen(address)
	if err != nil {
		return err
	}
	go func() {
		if err := server.Serve(ctx, l); err != nil {
			stop(err)
		}
	}()
	return nil
}

// tellStatus tells the service manager how the sources do, when that has changed.
func (o *polling) tellStatus(ctx context.Context, figures *poller.Figures) {
	tick := time.NewTicker(statusEvery)
	defer tick.Stop()
	told := ""
	for {
		if now := figures.Status(); now != told {
			o.notify("STATUS=" + now)
			told = now
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (o *polling) notify(state string) {
	if err := systemd.Notify(state); err != nil {
		o.warn(source.Source{}, err)
	}
}
