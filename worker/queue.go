package worker

import (
	"context"
	"fmt"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"hongyan/models"
)

const (
	// queueUpkeep is River's queue for periodic work, apart from messages so that
	// neither delays the other.
	queueUpkeep = "upkeep"
	// upkeepWorkers keeps the short pieces going while a long one runs.
	upkeepWorkers = 2
	// wakeWorkers is how many wake-ups are taken at once. Each takes no time.
	wakeWorkers = 10
	// fetchCooldown is how soon after a fetch River may fetch again: a wake-up of a
	// web-only process is seen that much later at the most.
	fetchCooldown = 20 * time.Millisecond
	// upkeepTimeout bounds one piece of upkeep.
	upkeepTimeout = 5 * time.Minute
)

// newQueue returns the River client of a lane.
//
// River carries two things. A "batch" job wakes a worker for a batch that a
// web-only process accepted; it claims nothing by itself, because the sweep that
// it wakes takes what is due in order, many at once. And River's elected leader
// starts the upkeep, so that a cluster does it once. Neither is needed for the
// promise that nothing accepted is lost: that lies in our own tables.
func (l *lane) newQueue() (models.Queue, error) {
	workers := river.NewWorkers()
	cfg := &river.Config{
		Logger: models.RiverLog(l.w.log).With("part", "river"), Workers: workers, FetchCooldown: fetchCooldown,
		Queues: map[string]river.QueueConfig{
			models.QueueMessages: {MaxWorkers: wakeWorkers},
			queueUpkeep:          {MaxWorkers: upkeepWorkers, FetchCooldown: time.Second, FetchPollInterval: 5 * time.Second},
		},
		JobTimeout: upkeepTimeout, RescueStuckJobsAfter: 2 * upkeepTimeout,
		// Wake-ups are many and tell nothing afterwards.
		CompletedJobRetentionPeriod: 10 * time.Minute,
	}
	if err := river.AddWorkerSafely(workers, &waker{lane: l}); err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	keeper := &keeper{lane: l, tasks: map[string]Upkeep{}}
	if err := river.AddWorkerSafely(workers, keeper); err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	for _, u := range l.w.upkeep {
		keeper.tasks[u.Name] = u
		cfg.PeriodicJobs = append(cfg.PeriodicJobs, river.NewPeriodicJob(
			river.PeriodicInterval(u.Every),
			func() (river.JobArgs, *river.InsertOpts) { return upkeepArgs{Name: u.Name}, nil },
			&river.PeriodicJobOpts{ID: u.Name, RunOnStart: u.AtStart},
		))
	}
	q, err := l.db.NewQueue(cfg)
	if err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	return q, nil
}

// waker works the jobs that tell of a new batch.
type waker struct {
	river.WorkerDefaults[models.BatchArgs]
	lane *lane
}

// Work implements river.Worker.
func (k *waker) Work(context.Context, *river.Job[models.BatchArgs]) error {
	signal(k.lane.sweep)
	return nil
}

// upkeepArgs names a piece of upkeep.
type upkeepArgs struct {
	Name string `json:"name" river:"unique"`
}

// Kind names the job.
func (upkeepArgs) Kind() string { return "upkeep" }

// InsertOpts keeps one job of each name: a run that takes longer than its
// interval is not followed by a queue of its repeats.
func (upkeepArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: queueUpkeep, MaxAttempts: 1, UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: unfinished()}}
}

// unfinished are the states of a job that is still to end.
func unfinished() []rivertype.JobState {
	return []rivertype.JobState{
		rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable, rivertype.JobStateRunning, rivertype.JobStateScheduled,
	}
}

// keeper works the upkeep.
type keeper struct {
	river.WorkerDefaults[upkeepArgs]
	lane  *lane
	tasks map[string]Upkeep
}

// Work implements river.Worker. A panic is caught by River.
func (k *keeper) Work(ctx context.Context, job *river.Job[upkeepArgs]) error {
	u, ok := k.tasks[job.Args.Name]
	d, real := k.lane.db.(*models.DB)
	if !ok || !real {
		return nil // left by another version of the program
	}
	began := time.Now()
	err := u.Run(ctx, d)
	k.lane.w.metrics.upkeep.WithLabelValues(u.Name).Observe(time.Since(began).Seconds())
	if err != nil && k.lane.w.phase.Load() >= draining && ctx.Err() != nil {
		k.lane.w.log.Info("upkeep cut short by the stop, it runs again at its next time", "upkeep", u.Name)
		return fmt.Errorf("worker: upkeep %s: %w", u.Name, ctx.Err())
	}
	if err != nil {
		k.lane.w.log.Error("upkeep failed, it runs again at its next time", "upkeep", u.Name, "error", err)
		return fmt.Errorf("worker: upkeep %s: %w", u.Name, err)
	}
	return nil
}
