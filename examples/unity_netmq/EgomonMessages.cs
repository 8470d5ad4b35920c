// Messages of egomon's wire, schema 1, as classes that Unity's JsonUtility fills. Fields carry the
// names of the wire; what later versions add is ignored. JsonUtility makes an empty object or 0 of
// a null: `scores.gate.small == 0` means that the small branch stood alone, `media_end == 0` that
// the alert is open, `latency_ms.end_to_end == 0` that the monitor replays a file.
using System;

namespace Egomon
{
    public static class Topics
    {
        public const string Root = "egomon/1/"; // then <source>/<kind>/
        public const string Alert = "/alert/";
    }

    [Serializable]
    public class AlertEnvelope
    {
        public string specversion;
        public string id;
        public string source;
        public string type;
        public string time;
        public string datacontenttype;
        public string dataschema;
        public string boot; // changes when the monitor restarts
        public long seq;
        public long tseq; // one more with each message of this topic: a jump is a loss
        public AlertData data;
    }

    [Serializable]
    public class AlertData
    {
        public string alert_id;
        public long rev; // from 1, one more each time; handle (alert_id, rev) once
        public string phase; // new, update, end, retract
        public string state; // provisional, confirmed, closed, retracted
        public string reason; // open list
        public string explanation; // one sentence for the wearer
        public string source;
        public string label;
        public string severity; // notice, alert
        public double p;
        public SegmentRef segment;
        public double media_opened;
        public double media_end;
        public Scores scores;
        public Step step;
        public string[] missing_steps; // ids, see step.id
        public string mode; // full, small-only
        public bool degraded;
        public string model;
        public bool demonstration;
        public WallTimes t;
        public Latency latency_ms;
        public Evidence[] evidence;
        public Previous prev;
    }

    [Serializable]
    public class SegmentRef
    {
        public long id;
        public long epoch;
        public double media_start;
        public double media_end;
        public long frames;
        public long dropped;
        public bool complete;
    }

    [Serializable]
    public class Scores
    {
        public BranchScores small;
        public BranchScores large;
        public GateWeights gate;
        public double fused;
        public double threshold;
        public double t_off;
    }

    [Serializable]
    public class BranchScores
    {
        public double p;
        public double[] logits; // correct, mistake
    }

    [Serializable]
    public class GateWeights
    {
        public double small;
        public double large;
    }

    [Serializable]
    public class Step
    {
        public string id;
        public string text;
        public double conf;
    }

    [Serializable]
    public class WallTimes
    {
        public string capture_start;
        public string capture_end;
        public string opened;
    }

    [Serializable]
    public class Latency
    {
        public double small;
        public double large;
        public double end_to_end;
    }

    [Serializable]
    public class Evidence
    {
        public string kind; // snapshot, clip
        public string media_type;
        public long attachment; // index of the extra frame of the message, from 0
        public string uri;
        public bool ready;
        public long width;
        public long height;
        public bool blurred;
    }

    [Serializable]
    public class Previous
    {
        public string state;
        public double p;
    }
}
