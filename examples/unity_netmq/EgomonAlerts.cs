// Put on any object of the scene: receives alerts on a thread, hands them out in Update().
using System;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.Text;
using System.Threading;
using NetMQ;
using NetMQ.Sockets;
using UnityEngine;
using UnityEngine.Events;

namespace Egomon
{
    [Serializable]
    public class AlertEvent : UnityEvent<AlertData, byte[]> { }

    public class EgomonAlerts : MonoBehaviour
    {
        const int QueueLimit = 256;
        const double StaleSeconds = 3; // a heartbeat comes each second

        public string endpoint = "tcp://127.0.0.1:5556";

        [Tooltip("Topic name of one source; empty = all.")]
        public string source = "";

        [Header("Keys of `egomon keygen`, for a monitor on another machine")]
        public string serverPublicKey = "";
        public string clientPublicKey = "";
        public string clientSecretKey = "";

        [Tooltip("The alert, and its snapshot as JPEG or null.")]
        public AlertEvent onAlert = new AlertEvent();

        // Messages that never came; ask the monitor's request socket (`since`) if that matters.
        public long Lost { get; private set; }

        public bool Stale
        {
            get { return (DateTime.UtcNow - new DateTime(Interlocked.Read(ref heard))).TotalSeconds > StaleSeconds; }
        }

        readonly ConcurrentQueue<KeyValuePair<AlertEnvelope, byte[]>> queue =
            new ConcurrentQueue<KeyValuePair<AlertEnvelope, byte[]>>();
        readonly Dictionary<string, long> lastTseq = new Dictionary<string, long>();
        long heard;
        string boot = "";
        volatile bool running;
        Thread thread;

        void OnEnable()
        {
            AsyncIO.ForceDotNet.Force(); // Unity's own sockets do not suit NetMQ
            running = true;
            thread = new Thread(Receive) { IsBackground = true, Name = "egomon" };
            thread.Start();
        }

        void OnDisable()
        {
            running = false;
            thread.Join(1000);
            NetMQConfig.Cleanup(false);
        }

        void Update()
        {
            KeyValuePair<AlertEnvelope, byte[]> next;
            while (queue.TryDequeue(out next))
            {
                Count(next.Key);
                onAlert.Invoke(next.Key.data, next.Value);
            }
        }

        void Count(AlertEnvelope envelope)
        {
            if (envelope.boot != boot)
            {
                boot = envelope.boot; // the monitor was restarted and counts from 1
                lastTseq.Clear();
            }
            long last;
            if (lastTseq.TryGetValue(envelope.source, out last))
            {
                Lost += Math.Max(0, envelope.tseq - last - 1);
            }
            lastTseq[envelope.source] = envelope.tseq;
        }

        void Receive()
        {
            using (var socket = new SubscriberSocket())
            {
                if (serverPublicKey != "")
                {
                    socket.Options.CurveServerKey = NetMQCertificate.FromPublicKey(serverPublicKey).PublicKey;
                    socket.Options.CurveCertificate = new NetMQCertificate(clientSecretKey, clientPublicKey);
                }
                socket.Options.ReceiveHighWatermark = QueueLimit;
                socket.Connect(endpoint);
                socket.Subscribe(source == "" ? Topics.Root : Topics.Root + source + "/");
                while (running)
                {
                    var message = new NetMQMessage();
                    if (!socket.TryReceiveMultipartMessage(TimeSpan.FromMilliseconds(200), ref message))
                    {
                        continue;
                    }
                    Interlocked.Exchange(ref heard, DateTime.UtcNow.Ticks);
                    if (!message[0].ConvertToString().EndsWith(Topics.Alert) || queue.Count >= QueueLimit)
                    {
                        continue; // heartbeats and the like; a hole in tseq shows what was left out
                    }
                    Take(message);
                }
            }
        }

        void Take(NetMQMessage message)
        {
            AlertEnvelope envelope;
            try
            {
                envelope = JsonUtility.FromJson<AlertEnvelope>(message[1].ConvertToString(Encoding.UTF8));
            }
            catch (ArgumentException error)
            {
                Debug.LogWarning("egomon: not an alert: " + error.Message);
                return;
            }
            byte[] picture = null;
            foreach (var piece in envelope.data.evidence)
            {
                var frame = 2 + (int)piece.attachment;
                if (piece.kind == "snapshot" && piece.ready && frame < message.FrameCount)
                {
                    picture = message[frame].ToByteArray();
                }
            }
            queue.Enqueue(new KeyValuePair<AlertEnvelope, byte[]>(envelope, picture));
        }
    }
}
